// The styles and scripts of the live page and of the report, inside the binary.
#pragma once
#include <stddef.h>

// The bytes of a file of `files/` by name, or NULL if there is none. Static memory.
const unsigned char *_Nullable ttrl_page_file(const char *_Nonnull name, long *_Nonnull count);
