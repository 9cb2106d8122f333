// CLinux: the Linux calls that Swift's Glibc module does not show, as plain functions.
//
// Structures with unions, macros and packed fields stay in C; Swift sees numbers and byte arrays. Every function that
// can fail returns a negative errno, so that no code between the call and the check can overwrite it. These functions
// decide nothing: each number that could be chosen differently is an argument.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#pragma clang assume_nonnull begin

// Readiness: epoll, eventfd, signalfd, pidfd. All descriptors are non-blocking and close on exec.

enum { TTRL_READABLE = 1, TTRL_WRITABLE = 2, TTRL_HANGUP = 4 };

// Events per call of ttrl_epoll_wait.
enum { TTRL_EVENTS_MAX = 256 };

typedef struct {
  uint64_t tag;
  uint32_t readiness;  // of TTRL_READABLE, TTRL_WRITABLE, TTRL_HANGUP
} ttrl_event;

int ttrl_epoll_create(void);
int ttrl_epoll_add(int epoll, int fd, uint32_t interest, uint64_t tag);
int ttrl_epoll_change(int epoll, int fd, uint32_t interest, uint64_t tag);
int ttrl_epoll_remove(int epoll, int fd);
// Fills at most `capacity` events, and no more than TTRL_EVENTS_MAX, and returns how many. A timeout below 0 waits
// without a limit.
int ttrl_epoll_wait(int epoll, ttrl_event *events, int capacity, int timeout_ms);
int ttrl_eventfd(void);
void ttrl_eventfd_raise(int fd);
void ttrl_eventfd_clear(int fd);
// Blocks the signals in the calling thread and returns a descriptor on which they arrive instead.
int ttrl_signalfd(const int *signals, int count);
// The next signal's number, or -EAGAIN.
int ttrl_signalfd_read(int fd);
// A descriptor that becomes readable when the process has ended.
int ttrl_pidfd(pid_t pid);

// Starts to write a file's content to its disk. Only hastens a later fsync, which reports errors.
void ttrl_start_sync(int fd);

// TCP. Addresses are opaque to Swift.

typedef struct {
  uint8_t bytes[128];  // a sockaddr_storage
  uint32_t length;
} ttrl_address;

// Fills at most `capacity` addresses and sets *count. Returns 0, or getaddrinfo's own (negative) code. A null host
// means all interfaces. `numeric`: refuse a host that needs a name server.
int ttrl_resolve(
    const char *_Nullable host, uint16_t port, bool numeric, ttrl_address *addresses, int capacity, int *count);
const char *ttrl_resolve_error(int code);
// Writes the numeric host, NUL-terminated, and the port.
int ttrl_address_text(const ttrl_address *address, char *host, int capacity, uint16_t *port);
// A bound, listening socket (SO_REUSEADDR).
int ttrl_listen(const ttrl_address *address, int backlog);
int ttrl_local_address(int fd, ttrl_address *address);
int ttrl_peer_address(int fd, ttrl_address *address);
// A socket that is connecting. It becomes writable when the attempt has ended, and ttrl_socket_error says how.
int ttrl_connect(const ttrl_address *address);
int ttrl_accept(int listener, ttrl_address *peer);
int ttrl_socket_error(int fd);
// Sets TCP_NODELAY, keepalive probes, and how long sent bytes can stay unacknowledged or the peer's window closed.
int ttrl_tune(int fd, int probe_after_s, int probe_every_s, int probes, int unacknowledged_ms);

// Processes.

typedef struct {
  const char *path;
  char *_Nullable const *_Nonnull argv;
  char *_Nullable const *_Nonnull envp;
  int standard_input, standard_output, standard_error;  // below 0: inherited from this process
  bool own_group;                                       // the child leads a process group of its own
  bool dies_with_parent;                                // SIGKILL when the thread that spawned it ends
} ttrl_command;

// Where a spawn failed: in the parent (no process was made), or in the child before or at exec.
enum { TTRL_SPAWN_FORK = 1, TTRL_SPAWN_PREPARE = 2, TTRL_SPAWN_EXEC = 3 };

// Returns the child's pid, or a negative errno with *stage set.
pid_t ttrl_spawn(const ttrl_command *command, int *stage);
// This process gets SIGKILL when its parent ends. -ESRCH if the parent has already ended.
int ttrl_die_with_parent(pid_t parent);
char *_Nullable *_Nonnull ttrl_environment(void);
bool ttrl_exited(int status, int *code);  // else a signal ended it, and *code is its number
// "KILL" for SIGKILL; null if the number is not a signal.
const char *_Nullable ttrl_signal_name(int number);
int ttrl_pipe(int *reading, int *writing);

// Confined programs: programs of users that run beside a run.

typedef struct {
  char *_Nullable const *_Nonnull argv;  // argv[0] is a path
  uint64_t memory_bytes;                 // of the address space of each process; 0 means no limit
  int processes;                         // the most processes that it may have at a time, itself included
  int look_ms;                           // how often they are counted
} ttrl_confinement;

// What the kernel allows: the program has no network; it sees only its own processes, and all of them end with it.
enum { TTRL_NO_NETWORK = 1, TTRL_OWN_PROCESSES = 2 };
// Exit statuses of ttrl_run_confined: the program could not be started; it had too many processes.
enum { TTRL_NOT_STARTED = 241, TTRL_CROWDED = 242 };

// A set of TTRL_NO_NETWORK and TTRL_OWN_PROCESSES. Child processes try it; this process does not change.
int ttrl_isolation(void);
// Runs the program, and ends this process with the program's exit status, 128 more than the number of the signal that
// ended it, or one of the above. No process of the program is left then. On SIGTERM, or when the parent ends, it ends
// the program first. The caller must have one thread.
_Noreturn void ttrl_run_confined(const ttrl_confinement *confinement);

// Mapped files. If a file is cut short while it is mapped, or its disk fails, reading it raises SIGBUS. From the first
// call on, a SIGBUS within a range that is watched writes the range's message to standard error and ends the process at
// once with the range's status. Any other SIGBUS has the effect that it had before.

// How many ranges can be watched at the same time.
enum { TTRL_WATCHED_MAX = 4096 };

// Returns the range's number, or a negative errno: -ENOSPC if TTRL_WATCHED_MAX are watched. The message is copied.
int ttrl_watch_mapping(const void *start, size_t bytes, const char *message, int status);
// Call this before the range is unmapped.
void ttrl_forget_mapping(int number);

// Files and the machine.

// Flushes standard output. Returns 0, or a negative errno if anything that was printed since the process began is lost.
int ttrl_finish_output(void);
// Gives each of two files or directories the other's name, in one step. Returns 0, or a negative errno: -EINVAL where
// the file system cannot do it.
int ttrl_exchange(const char *one, const char *other);
// The name of an errno, such as "ENOSPC"; null if the number is not an error.
const char *_Nullable ttrl_errno_name(int number);
// At most 15 bytes; longer names are refused.
int ttrl_name_thread(const char *name);
int ttrl_affinity_count(void);
// The widest instruction set that the processor and the operating system support; null if the processor is not x86-64.
const char *_Nullable ttrl_instruction_set(void);

#pragma clang assume_nonnull end
