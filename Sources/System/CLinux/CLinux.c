// CLinux: see the header for the contract of every function here.
#define _GNU_SOURCE
#include "CLinux.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

_Static_assert(sizeof(struct sockaddr_storage) == sizeof(((ttrl_address *)0)->bytes), "an address must fit");

// Turns the result of a system call into a value or a negative errno.
static int checked(int result) { return result < 0 ? -errno : result; }

// Readiness

static uint32_t epoll_mask(uint32_t interest) {
  return (interest & TTRL_READABLE ? EPOLLIN : 0) | (interest & TTRL_WRITABLE ? EPOLLOUT : 0);
}

static int epoll_control(int epoll, int operation, int fd, uint32_t interest, uint64_t tag) {
  struct epoll_event event = {.events = epoll_mask(interest), .data.u64 = tag};
  return checked(epoll_ctl(epoll, operation, fd, &event));
}

int ttrl_epoll_create(void) { return checked(epoll_create1(EPOLL_CLOEXEC)); }

int ttrl_epoll_add(int epoll, int fd, uint32_t interest, uint64_t tag) {
  return epoll_control(epoll, EPOLL_CTL_ADD, fd, interest, tag);
}

int ttrl_epoll_change(int epoll, int fd, uint32_t interest, uint64_t tag) {
  return epoll_control(epoll, EPOLL_CTL_MOD, fd, interest, tag);
}

int ttrl_epoll_remove(int epoll, int fd) { return epoll_control(epoll, EPOLL_CTL_DEL, fd, 0, 0); }

int ttrl_epoll_wait(int epoll, ttrl_event *events, int capacity, int timeout_ms) {
  struct epoll_event raw[TTRL_EVENTS_MAX];
  int count = checked(epoll_wait(epoll, raw, capacity < TTRL_EVENTS_MAX ? capacity : TTRL_EVENTS_MAX, timeout_ms));
  for (int i = 0; i < count; i++) {
    uint32_t seen = raw[i].events;
    events[i].tag = raw[i].data.u64;
    events[i].readiness = (seen & EPOLLIN ? TTRL_READABLE : 0) | (seen & EPOLLOUT ? TTRL_WRITABLE : 0) |
                          (seen & (EPOLLHUP | EPOLLERR) ? TTRL_HANGUP : 0);
  }
  return count;
}

int ttrl_eventfd(void) { return checked(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)); }

void ttrl_eventfd_raise(int fd) { eventfd_write(fd, 1); }

void ttrl_eventfd_clear(int fd) {
  eventfd_t count;
  eventfd_read(fd, &count);
}

void ttrl_start_sync(int fd) { sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE); }

int ttrl_signalfd(const int *signals, int count) {
  sigset_t set;
  sigemptyset(&set);
  for (int i = 0; i < count; i++) sigaddset(&set, signals[i]);
  int code = pthread_sigmask(SIG_BLOCK, &set, NULL);
  return code ? -code : checked(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
}

int ttrl_signalfd_read(int fd) {
  struct signalfd_siginfo info;
  ssize_t size = read(fd, &info, sizeof info);
  return size < 0 ? -errno : (int)info.ssi_signo;
}

// The system call, because older C libraries have no wrapper for it.
int ttrl_pidfd(pid_t pid) { return checked((int)syscall(SYS_pidfd_open, pid, 0)); }

// TCP

int ttrl_resolve(
    const char *host, uint16_t port, bool numeric, ttrl_address *addresses, int capacity, int *count) {
  struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
  if (numeric) hints.ai_flags |= AI_NUMERICHOST;
  char service[8];
  int digits = 0;
  for (int divisor = 10000; divisor; divisor /= 10) service[digits++] = (char)('0' + port / divisor % 10);
  service[digits] = 0;
  struct addrinfo *list = NULL;
  int code = getaddrinfo(host, service, &hints, &list);
  *count = 0;
  if (code) return code;
  for (struct addrinfo *one = list; one && *count < capacity; one = one->ai_next) {
    if (one->ai_family != AF_INET && one->ai_family != AF_INET6) continue;
    memcpy(addresses[*count].bytes, one->ai_addr, one->ai_addrlen);
    addresses[(*count)++].length = one->ai_addrlen;
  }
  freeaddrinfo(list);
  return 0;
}

const char *ttrl_resolve_error(int code) { return gai_strerror(code); }

int ttrl_address_text(const ttrl_address *address, char *host, int capacity, uint16_t *port) {
  char service[8];
  int code = getnameinfo(
      (const struct sockaddr *)address->bytes, address->length, host, (socklen_t)capacity, service, sizeof service,
      NI_NUMERICHOST | NI_NUMERICSERV);
  if (code) return code;
  *port = 0;
  for (const char *digit = service; *digit; digit++) *port = (uint16_t)(*port * 10 + (*digit - '0'));
  return 0;
}

static int open_socket(const ttrl_address *address) {
  int family = ((const struct sockaddr *)address->bytes)->sa_family;
  return checked(socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

// Closes the socket and returns the negative errno.
static int abandon(int fd, int code) {
  close(fd);
  return -code;
}

int ttrl_listen(const ttrl_address *address, int backlog) {
  int fd = open_socket(address), on = 1;
  if (fd < 0) return fd;
  if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on)) return abandon(fd, errno);
  if (bind(fd, (const struct sockaddr *)address->bytes, address->length)) return abandon(fd, errno);
  if (listen(fd, backlog)) return abandon(fd, errno);
  return fd;
}

int ttrl_local_address(int fd, ttrl_address *address) {
  address->length = sizeof address->bytes;
  return checked(getsockname(fd, (struct sockaddr *)address->bytes, &address->length));
}

int ttrl_peer_address(int fd, ttrl_address *address) {
  address->length = sizeof address->bytes;
  return checked(getpeername(fd, (struct sockaddr *)address->bytes, &address->length));
}

int ttrl_connect(const ttrl_address *address) {
  int fd = open_socket(address);
  if (fd < 0) return fd;
  int code = connect(fd, (const struct sockaddr *)address->bytes, address->length);
  if (code && errno != EINPROGRESS && errno != EINTR) return abandon(fd, errno);
  return fd;
}

int ttrl_accept(int listener, ttrl_address *peer) {
  peer->length = sizeof peer->bytes;
  return checked(accept4(listener, (struct sockaddr *)peer->bytes, &peer->length, SOCK_NONBLOCK | SOCK_CLOEXEC));
}

int ttrl_socket_error(int fd) {
  int code = 0;
  socklen_t size = sizeof code;
  return getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &size) ? -errno : -code;
}

int ttrl_tune(int fd, int probe_after_s, int probe_every_s, int probes, int unacknowledged_ms) {
  int on = 1;
  unsigned unacknowledged = (unsigned)unacknowledged_ms;
  if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) ||
      setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on) ||
      setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &probe_after_s, sizeof probe_after_s) ||
      setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &probe_every_s, sizeof probe_every_s) ||
      setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes) ||
      setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unacknowledged, sizeof unacknowledged))
    return -errno;
  return 0;
}

// Processes

// The child's report to its parent, through a pipe that a successful exec closes.
typedef struct {
  int stage, code;
} failure;

static _Noreturn void fail(int report, int stage, int code) {
  failure what = {stage, code};
  ssize_t written = write(report, &what, sizeof what);
  (void)written;
  _exit(127);
}

static void redirect(int report, int from, int to) {
  if (from < 0) return;
  // dup2 of a descriptor onto itself would leave close-on-exec set.
  int code = from == to ? fcntl(to, F_SETFD, 0) : dup2(from, to);
  if (code < 0) fail(report, TTRL_SPAWN_PREPARE, errno);
}

// Between fork and exec only async-signal-safe calls are allowed: another thread can have held the lock of malloc.
static _Noreturn void run_child(const ttrl_command *command, pid_t parent, int report) {
  if (command->own_group && setpgid(0, 0)) fail(report, TTRL_SPAWN_PREPARE, errno);
  if (command->dies_with_parent) {
    int code = ttrl_die_with_parent(parent);
    if (code) fail(report, TTRL_SPAWN_PREPARE, -code);
  }
  redirect(report, command->standard_input, 0);
  redirect(report, command->standard_output, 1);
  redirect(report, command->standard_error, 2);
  // Libraries can have opened descriptors without close-on-exec; the child must not keep them open.
  syscall(SYS_close_range, 3, ~0U, 4 /* CLOSE_RANGE_CLOEXEC */);
  struct sigaction standard = {.sa_handler = SIG_DFL};
  for (int number = 1; number < NSIG; number++) sigaction(number, &standard, NULL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  execve(command->path, command->argv, command->envp);
  fail(report, TTRL_SPAWN_EXEC, errno);
}

pid_t ttrl_spawn(const ttrl_command *command, int *stage) {
  int reading, writing;
  *stage = TTRL_SPAWN_FORK;
  int code = ttrl_pipe(&reading, &writing);
  if (code) return code;
  sigset_t all, before;
  sigfillset(&all);
  // Blocked, because a signal that arrives in the child before exec would run a handler of the parent.
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pid_t parent = getpid(), child = fork();
  if (child == 0) run_child(command, parent, writing);
  code = errno;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  close(writing);
  if (child < 0) return abandon(reading, code);
  failure what;
  ssize_t size;
  do size = read(reading, &what, sizeof what);
  while (size < 0 && errno == EINTR);
  close(reading);
  if (size != sizeof what) return child;
  while (waitpid(child, NULL, 0) < 0 && errno == EINTR) {
  }
  *stage = what.stage;
  return -what.code;
}

int ttrl_die_with_parent(pid_t parent) {
  if (prctl(PR_SET_PDEATHSIG, SIGKILL)) return -errno;
  // The parent can have ended before the call above; then the signal never comes.
  return getppid() == parent ? 0 : -ESRCH;
}

char **ttrl_environment(void) { return environ; }

bool ttrl_exited(int status, int *code) {
  *code = WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status);
  return WIFEXITED(status);
}

const char *ttrl_signal_name(int number) { return sigabbrev_np(number); }

int ttrl_pipe(int *reading, int *writing) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC)) return -errno;
  *reading = ends[0];
  *writing = ends[1];
  return 0;
}

// Mapped files

// A range that is watched. The handler reads it at any time, so `start` is set last and cleared first.
typedef struct {
  _Atomic uintptr_t start;  // 0: the place is free
  size_t bytes, length;
  char *message;  // kept until the place is used again, because the handler can be reading it
  int status;
} watched;

static watched ranges[TTRL_WATCHED_MAX];
static pthread_mutex_t ranges_lock = PTHREAD_MUTEX_INITIALIZER;
static struct sigaction before_watching;

// Only async-signal-safe calls.
static void bus_error(int number, siginfo_t *info, void *context) {
  (void)context;
  // The kernel sends positive codes, and only these come with an address.
  if (info->si_code > 0) {
    uintptr_t at = (uintptr_t)info->si_addr;
    for (int i = 0; i < TTRL_WATCHED_MAX; i++) {
      uintptr_t start = atomic_load(&ranges[i].start);
      if (!start || at < start || at - start >= ranges[i].bytes) continue;
      ssize_t written = write(2, ranges[i].message, ranges[i].length);
      (void)written;
      _exit(ranges[i].status);
    }
  }
  sigaction(number, &before_watching, NULL);
  // An instruction that failed fails again when this returns; a signal that a process sent does not.
  if (info->si_code <= 0) raise(number);
}

static int handle_bus_errors(void) {
  struct sigaction now, ours = {.sa_sigaction = bus_error, .sa_flags = SA_SIGINFO | SA_ONSTACK};
  if (sigaction(SIGBUS, NULL, &now)) return -errno;
  if (now.sa_flags & SA_SIGINFO && now.sa_sigaction == bus_error) return 0;
  before_watching = now;
  return checked(sigaction(SIGBUS, &ours, NULL));
}

int ttrl_watch_mapping(const void *start, size_t bytes, const char *message, int status) {
  pthread_mutex_lock(&ranges_lock);
  int number = 0, code = handle_bus_errors();
  while (number < TTRL_WATCHED_MAX && atomic_load(&ranges[number].start)) number++;
  if (!code && number == TTRL_WATCHED_MAX) code = -ENOSPC;
  char *copy = code ? NULL : strdup(message);
  if (!code && !copy) code = -ENOMEM;
  if (!code) {
    watched *range = &ranges[number];
    free(range->message);
    *range = (watched){.bytes = bytes, .length = strlen(copy), .message = copy, .status = status};
    atomic_store(&range->start, (uintptr_t)start);
  }
  pthread_mutex_unlock(&ranges_lock);
  return code ? code : number;
}

void ttrl_forget_mapping(int number) { atomic_store(&ranges[number].start, 0); }

// Files and the machine

int ttrl_exchange(const char *one, const char *other) {
  return renameat2(AT_FDCWD, one, AT_FDCWD, other, RENAME_EXCHANGE) == 0 ? 0 : -errno;
}

const char *ttrl_errno_name(int number) { return strerrorname_np(number); }

int ttrl_name_thread(const char *name) { return -pthread_setname_np(pthread_self(), name); }

int ttrl_finish_output(void) {
  bool lost = ferror(stdout);
  // The error number of an earlier failure is not known.
  if (fflush(stdout)) return errno ? -errno : -EIO;
  return lost ? -EIO : 0;
}

int ttrl_affinity_count(void) {
  cpu_set_t set;
  return sched_getaffinity(0, sizeof set, &set) ? -errno : CPU_COUNT(&set);
}

#if defined(__x86_64__)
#include <cpuid.h>

// The register state that the operating system saves. An instruction set whose state is not saved cannot be used.
static uint64_t saved_state(void) {
  uint32_t low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (uint64_t)high << 32 | low;
}

const char *ttrl_instruction_set(void) {
  uint32_t a, b, c, d, b7, c7, d7, a71, ignored;
  if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE)) return "sse2";
  if (!__get_cpuid_count(7, 0, &a, &b7, &c7, &d7)) return "sse2";
  if (!__get_cpuid_count(7, 1, &a71, &ignored, &ignored, &ignored)) a71 = 0;
  uint64_t state = saved_state();
  bool ymm = (state & 0x6) == 0x6, zmm = (state & 0xE6) == 0xE6, tiles = (state & 0x60000) == 0x60000;
  bool avx512 = zmm && (b7 & bit_AVX512F) && (b7 & bit_AVX512BW) && (b7 & bit_AVX512VL) && (b7 & bit_AVX512DQ);
  if (avx512 && tiles && (d7 & 1u << 22) && (d7 & 1u << 24)) return "amx_bf16";
  if (avx512 && (a71 & 1u << 5)) return "avx512_bf16";
  if (avx512) return "avx512";
  if (ymm && (b7 & bit_AVX2) && (c & bit_FMA)) return "avx2";
  return "sse2";
}
#else
const char *ttrl_instruction_set(void) { return NULL; }
#endif
