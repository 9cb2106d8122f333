// See loopback.c. Nothing links against this library: a program loads it with LD_PRELOAD.
#pragma once
#include <sys/socket.h>

int bind(int descriptor, const struct sockaddr *address, socklen_t length);
