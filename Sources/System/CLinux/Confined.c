// Confined: runs a program of a user with bounds: memory, processes, and no network where the kernel allows it.
//
// The process that is called here, the guard, becomes the parent of the program and of everything that the program
// leaves behind. It is process 1 of a namespace of its own, or, where the kernel does not allow this, their subreaper.
// So it can end all of them. It looks at regular times how many there are. RLIMIT_NPROC cannot do this: it does not
// hold for root, and it counts all processes of a user.
#define _GNU_SOURCE
#include "CLinux.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

// Isolation

static bool write_text(const char *path, const char *text) {
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return false;
  bool is_written = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
  close(fd);
  return is_written;
}

// In a user namespace of its own a process needs no privileges for the others. It keeps its user and its files.
static bool isolate(int flags) {
  char users[64], groups[64];
  snprintf(users, sizeof users, "%u %u 1", geteuid(), geteuid());
  snprintf(groups, sizeof groups, "%u %u 1", getegid(), getegid());
  if (unshare(flags)) return false;
  if (!(flags & CLONE_NEWUSER)) return true;
  return write_text("/proc/self/setgroups", "deny") && write_text("/proc/self/uid_map", users) &&
         write_text("/proc/self/gid_map", groups);
}

// The most isolation first. Some kernels allow a user namespace, and nothing in it; root can do without.
static const int attempts[] = {
    CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWPID, CLONE_NEWNET | CLONE_NEWPID,
    CLONE_NEWUSER | CLONE_NEWNET,                CLONE_NEWNET,
    CLONE_NEWUSER | CLONE_NEWPID,                CLONE_NEWPID,
};

// A process that has failed halfway is not what it was, so a child tries. 0 if nothing is allowed.
static int allowed_flags(void) {
  for (size_t i = 0; i < sizeof attempts / sizeof *attempts; i++) {
    pid_t child = fork();
    if (child == 0) {
      // A namespace of processes shows only when there is to be one in it.
      bool is_allowed = isolate(attempts[i]);
      pid_t inner = is_allowed && attempts[i] & CLONE_NEWPID ? fork() : 0;
      if (inner < 0) is_allowed = false;
      if (inner > 0) waitpid(inner, NULL, 0);
      _exit(is_allowed ? 0 : 1);
    }
    int status = 1;
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    if (child > 0 && status == 0) return attempts[i];
  }
  return 0;
}

static int held_by(int flags) {
  return (flags & CLONE_NEWNET ? TTRL_NO_NETWORK : 0) | (flags & CLONE_NEWPID ? TTRL_OWN_PROCESSES : 0);
}

int ttrl_isolation(void) { return held_by(allowed_flags()); }

// The guard

enum { PROCESSES_MAX = 1 << 17 };
typedef struct {
  pid_t pid, parent;
  bool is_ours;
} process;
static process seen[PROCESSES_MAX];

// This process's number as /proc has it, which can be the one of another namespace; 0 if it is not known.
static pid_t own_number(void) {
  char text[32];
  ssize_t size = readlink("/proc/self", text, sizeof text - 1);
  if (size <= 0) return 0;
  text[size] = 0;
  return atoi(text);
}

static pid_t parent_of(const char *pid) {
  char path[64], text[512];
  snprintf(path, sizeof path, "/proc/%.20s/stat", pid);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  ssize_t size = read(fd, text, sizeof text - 1);
  close(fd);
  if (size <= 0) return 0;
  text[size] = 0;
  // "PID (NAME) STATE PARENT": a name can have parentheses and spaces.
  const char *rest = strrchr(text, ')');
  char state;
  int parent = 0;
  return rest && sscanf(rest + 1, " %c %d", &state, &parent) == 2 ? parent : 0;
}

static int by_number(const void *left, const void *right) {
  pid_t one = *(const pid_t *)left, other = *(const pid_t *)right;
  return (one > other) - (one < other);
}

// Finds the processes below this one. Returns how many there are, and kills each one if it is to.
static int find_below(bool kill_them) {
  pid_t self = own_number();
  DIR *directory = self ? opendir("/proc") : NULL;
  if (!directory) return 0;
  int count = 0;
  for (struct dirent *entry; count < PROCESSES_MAX && (entry = readdir(directory));) {
    if (entry->d_name[0] < '1' || entry->d_name[0] > '9') continue;
    pid_t pid = atoi(entry->d_name), parent = parent_of(entry->d_name);
    if (parent) seen[count].pid = pid, seen[count].parent = parent, seen[count++].is_ours = parent == self;
  }
  closedir(directory);
  // A child has a higher number than its parent until the numbers begin again, so one pass is usually enough.
  qsort(seen, (size_t)count, sizeof *seen, by_number);
  int below = 0;
  for (bool is_new = true; is_new;) {
    is_new = false;
    for (int i = 0; i < count; i++) {
      if (seen[i].is_ours) continue;
      process *parent = bsearch(&seen[i].parent, seen, (size_t)count, sizeof *seen, by_number);
      if (parent && parent->is_ours) seen[i].is_ours = is_new = true;
    }
  }
  for (int i = 0; i < count; i++) {
    if (!seen[i].is_ours) continue;
    below++;
    if (kill_them) kill(seen[i].pid, SIGKILL);
  }
  return below;
}

static void pause_ms(int milliseconds) {
  struct timespec pause = {milliseconds / 1000, milliseconds % 1000 * 1000000L};
  nanosleep(&pause, NULL);
}

// Ends everything that the program has started, then this process.
static _Noreturn void leave(bool is_first, pid_t program, int status) {
  // The end of a namespace's first process ends the others.
  if (is_first) _exit(status);
  // All of its group at once: none of them can start another one meanwhile. Then those that have left the group.
  kill(-program, SIGKILL);
  // A program that starts processes faster than this is rare; it is not waited for without end.
  for (int round = 0; round < 1000 && find_below(true) > 0; round++) {
    while (waitpid(-1, NULL, WNOHANG) > 0) {
    }
    pause_ms(1);
  }
  _exit(status);
}

static int exit_status(int status) { return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status); }

static _Noreturn void become(const ttrl_confinement *confinement) {
  sigset_t none;
  sigemptyset(&none);
  setpgid(0, 0);
  signal(SIGPIPE, SIG_DFL);
  sigprocmask(SIG_SETMASK, &none, NULL);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  struct rlimit core = {0, 0}, memory = {confinement->memory_bytes, confinement->memory_bytes};
  setrlimit(RLIMIT_CORE, &core);
  if (!confinement->memory_bytes || !setrlimit(RLIMIT_AS, &memory)) execv(confinement->argv[0], confinement->argv);
  fprintf(stderr, "cannot start %s: %s\n", confinement->argv[0], strerror(errno));
  _exit(TTRL_NOT_STARTED);
}

// Runs the program and watches it. `waited` are blocked signals.
static _Noreturn void guard(const ttrl_confinement *confinement, const sigset_t *waited, bool is_first) {
  pid_t program = fork();
  if (program < 0) _exit(TTRL_NOT_STARTED);
  if (program == 0) become(confinement);
  // Here too: it can be needed before the program has done it.
  setpgid(program, program);
  // The pipes belong to the program alone: they end when it ends.
  int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
  dup2(nothing, 0);
  dup2(nothing, 1);
  // Before hundreds of the program's processes, if this user may.
  setpriority(PRIO_PROCESS, 0, -10);
  // Counting is slow on a machine with many processes. If the machine has not got more threads, the program has not.
  struct sysinfo machine;
  sysinfo(&machine);
  uint16_t fewest = machine.procs;
  for (;;) {
    struct timespec wait = {confinement->look_ms / 1000, confinement->look_ms % 1000 * 1000000L};
    if (sigtimedwait(waited, NULL, &wait) == SIGTERM) leave(is_first, program, 128 + SIGTERM);
    // Only some: processes can end as fast as they are taken note of, and then none would be counted.
    for (int some = 0; some < 64; some++) {
      int status;
      pid_t ended = waitpid(-1, &status, WNOHANG);
      if (ended == program) leave(is_first, program, exit_status(status));
      if (ended <= 0) break;
    }
    sysinfo(&machine);
    int16_t more = (int16_t)(machine.procs - fewest);
    if (more < 0) fewest = machine.procs;
    if (more < confinement->processes) continue;
    int count = find_below(false);
    if (count > confinement->processes) leave(is_first, program, TTRL_CROWDED);
    fewest = (uint16_t)(machine.procs - count);
  }
}

_Noreturn void ttrl_run_confined(const ttrl_confinement *confinement) {
  int flags = allowed_flags();
  if (flags && !isolate(flags)) _exit(TTRL_NOT_STARTED);
  sigset_t waited;
  sigemptyset(&waited);
  sigaddset(&waited, SIGCHLD);
  sigaddset(&waited, SIGTERM);
  sigprocmask(SIG_BLOCK, &waited, NULL);
  // Not SIGKILL, as for other children: it has to end its own first.
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (!(flags & CLONE_NEWPID)) {
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    guard(confinement, &waited, false);
  }
  pid_t first = fork();
  if (first < 0) _exit(TTRL_NOT_STARTED);
  if (first == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    guard(confinement, &waited, true);
  }
  int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
  dup2(nothing, 0);
  dup2(nothing, 1);
  for (;;) {
    int number = sigwaitinfo(&waited, NULL), status;
    if (number == SIGTERM) kill(first, SIGKILL);
    if (waitpid(first, &status, number == SIGTERM ? 0 : WNOHANG) == first)
      _exit(number == SIGTERM ? 128 + SIGTERM : exit_status(status));
  }
}
