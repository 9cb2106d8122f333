// The files that come inside the binary: the small base model and its questions.
#pragma once
#include <stddef.h>

// The bytes of a file by name, or NULL if there is none. Static memory.
const unsigned char *_Nullable ttrl_embedded_file(const char *_Nonnull name, long *_Nonnull count);
