// zstd: compression of weights on their way to workers.
#pragma once
#include <zstd.h>
