// A library for LD_PRELOAD: in the programs that load it, a socket that would be bound to all of the machine's
// addresses is bound to the loopback address. The launchers of Open MPI and MPICH listen on all addresses, and have no
// setting that changes this. When all ranks are on one machine, ttrl starts them with this library, so no other machine
// can connect to them. A bind to a specific address is not changed.
#define _GNU_SOURCE
#include "loopback.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

// The declaration is the C library's, so this definition replaces it.
int bind(int descriptor, const struct sockaddr *address, socklen_t length) {
  struct sockaddr_in four;
  struct sockaddr_in6 six;
  if (address != NULL && length >= sizeof four && address->sa_family == AF_INET) {
    memcpy(&four, address, sizeof four);
    if (four.sin_addr.s_addr == htonl(INADDR_ANY)) {
      four.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      return (int)syscall(SYS_bind, descriptor, &four, sizeof four);
    }
  } else if (address != NULL && length >= sizeof six && address->sa_family == AF_INET6) {
    memcpy(&six, address, sizeof six);
    if (IN6_IS_ADDR_UNSPECIFIED(&six.sin6_addr)) {
      six.sin6_addr = in6addr_loopback;
      return (int)syscall(SYS_bind, descriptor, &six, sizeof six);
    }
  }
  return (int)syscall(SYS_bind, descriptor, address, length);
}
