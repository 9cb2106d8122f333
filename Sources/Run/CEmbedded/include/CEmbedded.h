// What is built into the program: the small base model and its questions, and the commit.
#pragma once
#include <stddef.h>

// The bytes of the file with this name, in static memory; NULL if there is no such file. count: how many bytes.
const unsigned char *_Nullable ttrl_embedded_file(const char *_Nonnull name, long *_Nonnull count);

// The commit that was built, hexadecimal digits; "unknown" if the build was not told.
const char *_Nonnull ttrl_commit(void);
