// The files that are built into the program: the small base model and its questions.
#pragma once
#include <stddef.h>

// The bytes of the file with this name, in static memory; NULL if there is no such file. count: how many bytes.
const unsigned char *_Nullable ttrl_embedded_file(const char *_Nonnull name, long *_Nonnull count);
