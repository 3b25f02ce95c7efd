/* Preloaded into a program (LD_PRELOAD), counts calls of the C library and changes the n-th one: it fails, or
 * the process is killed there, or sleeps there. tests/campaign goes through all n of every verb. Counting
 * begins with main().
 *
 * - TESSERA_NTH_CALL: the kinds of calls, separated by commas: the table `names` below. `memory` is any
 *   allocation, `new` only those of C++, which throw std::bad_alloc
 * - TESSERA_NTH: n, from 1; 0 only counts
 * - TESSERA_NTH_TIMES: how many calls from the n-th on; 0 is all of them; default 1
 * - TESSERA_NTH_DO: what happens. fail is the default. short: reads and writes transfer half of their
 *   bytes and then fail at once. kill: SIGKILL before the call. tear: SIGKILL after half of a write, or after
 *   another call. sleep: TESSERA_NTH_SLEEP_MS before the call. jitter: each call sleeps up to
 *   TESSERA_NTH_SLEEP_MS, from the seed TESSERA_NTH_SEED
 * - TESSERA_NTH_ERRNO: the error of a call that fails; default 5 (EIO)
 * - TESSERA_NTH_UNDER: calls on files count only below this folder
 * - TESSERA_NTH_MIN: allocations of fewer bytes do not count; default 1
 * - TESSERA_NTH_RANK: only in this rank of mpirun
 * - TESSERA_NTH_PROGRAM: only in programs of this name; default tessera
 * - TESSERA_NTH_COUNT: a file of 8-byte integers that holds the numbers of calls at any time: the sum,
 *   then one for each kind in the table's order. Processes with the same file count together
 * - TESSERA_NTH_LOG: each changed call appends a line to this file: kind, n, path
 */
#define _GNU_SOURCE
#include "nth_call.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum kind {
  READ,
  WRITE,
  OPEN,
  CLOSE,
  SYNC,
  RENAME,
  TRUNCATE,
  UNLINK,
  MKDIR,
  LOCK,
  STAT,
  LIST,
  THREAD,
  MEMORY,
  MAP,
  NEW,
  KINDS
};
static const char* const names[KINDS] = {"read",     "write",  "open",  "close", "sync", "rename",
                                         "truncate", "unlink", "mkdir", "lock",  "stat", "list",
                                         "thread",   "memory", "map",   "new"};
enum action { PASS, FAIL, SHORT, KILL, TEAR, SLEEP, JITTER };
static const char* const actions[] = {"pass", "fail", "short", "kill", "tear", "sleep", "jitter"};

static struct {
  unsigned kinds; /* a bit for each kind; 0: nothing is counted */
  long nth, times, sleep_ms;
  size_t min_bytes;
  enum action action;
  int reason;
  char under[4096], log[4096];
  size_t under_size;
  unsigned long seed;
} settings;

static atomic_long own_counts[1 + KINDS];
static atomic_long* counts = own_counts;
static __thread int inside __attribute__((tls_model("initial-exec")));
static __thread int fails_next
    __attribute__((tls_model("initial-exec"))); /* the allocation of an operator new */

static long number_of(const char* name, long fallback) {
  const char* text = getenv(name);
  return text == NULL ? fallback : strtol(text, NULL, 10);
}

static int is_this_program(void) {
  const char* wanted = getenv("TESSERA_NTH_PROGRAM");
  const char* rank = getenv("TESSERA_NTH_RANK");
  const char* mine = getenv("OMPI_COMM_WORLD_RANK");
  char path[4096];
  const long size = syscall(SYS_readlink, "/proc/self/exe", path, sizeof path - 1);
  if (size <= 0) return 0;
  path[size] = 0;
  const char* slash = strrchr(path, '/');
  if (strcmp(slash == NULL ? path : slash + 1, wanted == NULL ? "tessera" : wanted) != 0) return 0;
  return rank == NULL || (mine != NULL && strcmp(rank, mine) == 0);
}

static unsigned kinds_named(const char* list) {
  unsigned found = 0;
  while (list != NULL && *list != 0) {
    const size_t size = strcspn(list, ",");
    int known = 0;
    for (int kind = 0; kind < KINDS; ++kind) {
      if (strlen(names[kind]) != size || strncmp(names[kind], list, size) != 0) continue;
      found |= 1u << kind;
      known = 1;
    }
    if (!known) {
      fprintf(stderr, "TESSERA_NTH_CALL: no kind '%s'\n", list);
      abort();
    }
    list += size + (list[size] == ',');
  }
  return found;
}

static void map_counts(const char* file) {
  const long fd = syscall(SYS_openat, AT_FDCWD, file, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0 || syscall(SYS_ftruncate, fd, (long)sizeof own_counts) != 0) abort();
  void* place = (void*)syscall(SYS_mmap, NULL, sizeof own_counts, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (place == MAP_FAILED) abort();
  syscall(SYS_close, fd);
  counts = place;
}

void nth_call_begin(void) {
  settings.kinds = 0;
  if (getenv("TESSERA_NTH_CALL") == NULL || !is_this_program()) return;
  const char* wanted = getenv("TESSERA_NTH_DO");
  const char* under = getenv("TESSERA_NTH_UNDER");
  const char* log = getenv("TESSERA_NTH_LOG");
  settings.nth = number_of("TESSERA_NTH", 0);
  settings.times = number_of("TESSERA_NTH_TIMES", 1);
  settings.sleep_ms = number_of("TESSERA_NTH_SLEEP_MS", 0);
  settings.min_bytes = (size_t)number_of("TESSERA_NTH_MIN", 1);
  settings.reason = (int)number_of("TESSERA_NTH_ERRNO", EIO);
  settings.seed = (unsigned long)number_of("TESSERA_NTH_SEED", 1);
  settings.action = FAIL;
  for (int i = 0; wanted != NULL && i <= JITTER; ++i) {
    if (strcmp(wanted, actions[i]) == 0) settings.action = (enum action)i;
  }
  snprintf(settings.under, sizeof settings.under, "%s", under == NULL ? "" : under);
  snprintf(settings.log, sizeof settings.log, "%s", log == NULL ? "" : log);
  settings.under_size = strlen(settings.under);
  if (getenv("TESSERA_NTH_COUNT") != NULL) map_counts(getenv("TESSERA_NTH_COUNT"));
  settings.kinds = kinds_named(getenv("TESSERA_NTH_CALL")); /* last: from here on calls count */
}

static int is_under(const char* path) {
  if (settings.under_size == 0) return 1;
  return strncmp(path, settings.under, settings.under_size) == 0 &&
         (path[settings.under_size] == '/' || path[settings.under_size] == 0);
}

static void sleep_ms(long ms) {
  const struct timespec time = {ms / 1000, ms % 1000 * 1000000};
  nanosleep(&time, NULL);
}

static void die(void) {
  syscall(SYS_kill, (long)getpid(), (long)SIGKILL);
  for (;;)
    pause();
}

/* Counts a call. What is to happen in place of it: PASS, FAIL, SHORT or TEAR. */
static enum action counted(enum kind kind, const char* path) {
  const long now = atomic_fetch_add(&counts[0], 1) + 1;
  atomic_fetch_add(&counts[1 + kind], 1);
  if (settings.action == JITTER) {
    unsigned long value = (settings.seed + (unsigned long)now) * 0x9e3779b97f4a7c15ul;
    sleep_ms((long)((value >> 33) % (unsigned long)(settings.sleep_ms + 1)));
    return PASS;
  }
  if (settings.nth <= 0 || now < settings.nth) return PASS;
  if (settings.times > 0 && now >= settings.nth + settings.times) return PASS;
  if (settings.log[0] != 0) {
    char line[4400];
    const int size = snprintf(line, sizeof line, "%s %ld %s\n", names[kind], now, path);
    const long fd =
        syscall(SYS_openat, AT_FDCWD, settings.log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (fd >= 0) {
      syscall(SYS_write, fd, line, (long)size);
      syscall(SYS_close, fd);
    }
  }
  if (settings.action == KILL) die();
  if (settings.action == SLEEP) {
    sleep_ms(settings.sleep_ms);
    return PASS;
  }
  return settings.action;
}

static int counts_kind(enum kind kind) {
  return !inside && (settings.kinds >> kind & 1u) != 0;
}

/* The path of an open file; "" for none. */
static void path_of(int fd, char* path, size_t size) {
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  const long length = syscall(SYS_readlink, link, path, (long)size - 1);
  path[length < 0 ? 0 : length] = 0;
}

static enum action on_fd(enum kind kind, int fd) {
  if (!counts_kind(kind)) return PASS;
  const int before = errno;
  char path[4096];
  path_of(fd, path, sizeof path);
  const enum action action = is_under(path) ? counted(kind, path) : PASS;
  errno = before;
  return action;
}

static enum action on_path(enum kind kind, int folder, const char* path) {
  if (path == NULL || !counts_kind(kind)) return PASS;
  const int before = errno;
  char whole[8192];
  if (path[0] == '/') {
    snprintf(whole, sizeof whole, "%s", path);
  } else if (folder == AT_FDCWD) {
    const long size = syscall(SYS_getcwd, whole, 4096l);
    snprintf(whole + (size > 0 ? size - 1 : 0), 4096, "/%s", path);
  } else {
    path_of(folder, whole, 4096);
    snprintf(whole + strlen(whole), 4096, "/%s", path);
  }
  const enum action action = is_under(whole) ? counted(kind, whole) : PASS;
  errno = before;
  return action;
}

#define REAL(result, arguments, name)                   \
  static result(*real) arguments;                       \
  if (real == NULL) {                                   \
    inside = 1;                                         \
    real = (result(*) arguments)dlsym(RTLD_NEXT, name); \
    inside = 0;                                         \
  }

/* The rest of a function that returns -1 and sets errno: `decide` first, then the call is made or not. */
#define DECIDED(decide, call)              \
  const enum action action = decide;       \
  if (action == FAIL || action == SHORT) { \
    errno = settings.reason;               \
    return -1;                             \
  }                                        \
  const int result = call;                 \
  if (action == TEAR) die();               \
  return result;

/* A function that returns -1 and sets errno. */
#define CHANGED(name, arguments, call, decide) \
  int name arguments {                         \
    REAL(int, arguments, #name)                \
    DECIDED(decide, real call)                 \
  }

/* Reads and writes of `size` bytes at `fd`. */
#define TRANSFER(kind, name, arguments, call, half)    \
  ssize_t name arguments {                             \
    REAL(ssize_t, arguments, #name)                    \
    const enum action action = on_fd(kind, fd);        \
    if (action == PASS) return real call;              \
    if (action == TEAR && kind == WRITE && size > 1) { \
      const ssize_t written = real half;               \
      (void)written;                                   \
      die();                                           \
    }                                                  \
    if (action == SHORT && size > 1) return real half; \
    if (action == TEAR) die();                         \
    errno = settings.reason;                           \
    return -1;                                         \
  }

TRANSFER(READ, read, (int fd, void* bytes, size_t size), (fd, bytes, size), (fd, bytes, size / 2))
TRANSFER(WRITE, write, (int fd, const void* bytes, size_t size), (fd, bytes, size), (fd, bytes, size / 2))
TRANSFER(READ, pread, (int fd, void* bytes, size_t size, off_t at), (fd, bytes, size, at),
         (fd, bytes, size / 2, at))
TRANSFER(READ, pread64, (int fd, void* bytes, size_t size, off64_t at), (fd, bytes, size, at),
         (fd, bytes, size / 2, at))
TRANSFER(WRITE, pwrite, (int fd, const void* bytes, size_t size, off_t at), (fd, bytes, size, at),
         (fd, bytes, size / 2, at))
TRANSFER(WRITE, pwrite64, (int fd, const void* bytes, size_t size, off64_t at), (fd, bytes, size, at),
         (fd, bytes, size / 2, at))

/* std::ofstream writes by writev. Half of it: the first part alone. */
ssize_t writev(int fd, const struct iovec* parts, int size) {
  REAL(ssize_t, (int, const struct iovec*, int), "writev")
  const enum action action = on_fd(WRITE, fd);
  if (action == PASS) return real(fd, parts, size);
  if ((action == SHORT || action == TEAR) && size > 1) {
    const ssize_t written = real(fd, parts, 1);
    if (action == TEAR) die();
    return written;
  }
  if (action == TEAR) die();
  errno = settings.reason;
  return -1;
}

ssize_t copy_file_range(int from, off64_t* from_at, int fd, off64_t* at, size_t size, unsigned flags) {
  REAL(ssize_t, (int, off64_t*, int, off64_t*, size_t, unsigned), "copy_file_range")
  const enum action action = on_fd(WRITE, fd);
  if (action == FAIL) {
    errno = settings.reason;
    return -1;
  }
  const ssize_t copied = real(from, from_at, fd, at, action == PASS || size < 2 ? size : size / 2, flags);
  if (action == TEAR) die();
  return copied;
}

ssize_t sendfile(int fd, int from, off_t* at, size_t size) {
  REAL(ssize_t, (int, int, off_t*, size_t), "sendfile")
  const enum action action = on_fd(WRITE, fd);
  if (action == FAIL) {
    errno = settings.reason;
    return -1;
  }
  const ssize_t copied = real(fd, from, at, action == PASS || size < 2 ? size : size / 2);
  if (action == TEAR) die();
  return copied;
}

size_t fread(void* bytes, size_t size, size_t count, FILE* file) {
  REAL(size_t, (void*, size_t, size_t, FILE*), "fread")
  const enum action action = on_fd(READ, fileno(file));
  if (action == PASS) return real(bytes, size, count, file);
  if (action == SHORT && count > 1) return real(bytes, size, count / 2, file);
  if (action == TEAR) die();
  errno = settings.reason;
  return 0;
}

size_t fwrite(const void* bytes, size_t size, size_t count, FILE* file) {
  REAL(size_t, (const void*, size_t, size_t, FILE*), "fwrite")
  const enum action action = on_fd(WRITE, fileno(file));
  if (action == PASS) return real(bytes, size, count, file);
  if (action == TEAR) {
    real(bytes, size, count / 2, file);
    fflush(file);
    die();
  }
  if (action == SHORT && count > 1) return real(bytes, size, count / 2, file);
  errno = settings.reason;
  return 0;
}

int fflush(FILE* file) {
  REAL(int, (FILE*), "fflush")
  const enum action action = file == NULL ? PASS : on_fd(WRITE, fileno(file));
  if (action == FAIL || action == SHORT) {
    errno = settings.reason;
    return EOF;
  }
  const int result = real(file);
  if (action == TEAR) die();
  return result;
}

/* A close that fails has closed the file all the same, as on Linux. */
int close(int fd) {
  REAL(int, (int), "close")
  const enum action action = on_fd(CLOSE, fd);
  const int result = real(fd);
  if (action == TEAR) die();
  if (action == PASS) return result;
  errno = settings.reason;
  return -1;
}

int fclose(FILE* file) {
  REAL(int, (FILE*), "fclose")
  const enum action action = on_fd(CLOSE, fileno(file));
  const int result = real(file);
  if (action == TEAR) die();
  if (action == PASS) return result;
  errno = settings.reason;
  return EOF;
}

CHANGED(fsync, (int fd), (fd), on_fd(SYNC, fd))
CHANGED(fdatasync, (int fd), (fd), on_fd(SYNC, fd))
CHANGED(ftruncate, (int fd, off_t size), (fd, size), on_fd(TRUNCATE, fd))
CHANGED(ftruncate64, (int fd, off64_t size), (fd, size), on_fd(TRUNCATE, fd))
CHANGED(truncate, (const char* path, off_t size), (path, size), on_path(TRUNCATE, AT_FDCWD, path))
CHANGED(fallocate, (int fd, int mode, off_t at, off_t size), (fd, mode, at, size), on_fd(TRUNCATE, fd))
CHANGED(flock, (int fd, int how), (fd, how), on_fd(LOCK, fd))
CHANGED(rename, (const char* from, const char* to), (from, to), on_path(RENAME, AT_FDCWD, to))
CHANGED(renameat, (int from_folder, const char* from, int folder, const char* to),
        (from_folder, from, folder, to), on_path(RENAME, folder, to))
CHANGED(renameat2, (int from_folder, const char* from, int folder, const char* to, unsigned flags),
        (from_folder, from, folder, to, flags), on_path(RENAME, folder, to))
CHANGED(link, (const char* from, const char* to), (from, to), on_path(RENAME, AT_FDCWD, to))
CHANGED(linkat, (int from_folder, const char* from, int folder, const char* to, int flags),
        (from_folder, from, folder, to, flags), on_path(RENAME, folder, to))
CHANGED(unlink, (const char* path), (path), on_path(UNLINK, AT_FDCWD, path))
CHANGED(unlinkat, (int folder, const char* path, int flags), (folder, path, flags),
        on_path(UNLINK, folder, path))
CHANGED(remove, (const char* path), (path), on_path(UNLINK, AT_FDCWD, path))
CHANGED(rmdir, (const char* path), (path), on_path(UNLINK, AT_FDCWD, path))
CHANGED(mkdir, (const char* path, mode_t mode), (path, mode), on_path(MKDIR, AT_FDCWD, path))
CHANGED(mkdirat, (int folder, const char* path, mode_t mode), (folder, path, mode),
        on_path(MKDIR, folder, path))
CHANGED(stat, (const char* path, struct stat* found), (path, found), on_path(STAT, AT_FDCWD, path))
CHANGED(stat64, (const char* path, struct stat64* found), (path, found), on_path(STAT, AT_FDCWD, path))
CHANGED(lstat, (const char* path, struct stat* found), (path, found), on_path(STAT, AT_FDCWD, path))
CHANGED(lstat64, (const char* path, struct stat64* found), (path, found), on_path(STAT, AT_FDCWD, path))
CHANGED(fstat, (int fd, struct stat* found), (fd, found), on_fd(STAT, fd))
CHANGED(fstat64, (int fd, struct stat64* found), (fd, found), on_fd(STAT, fd))
CHANGED(fstatat, (int folder, const char* path, struct stat* found, int flags), (folder, path, found, flags),
        on_path(STAT, folder, path))
CHANGED(statvfs, (const char* path, struct statvfs* found), (path, found), on_path(STAT, AT_FDCWD, path))
CHANGED(statvfs64, (const char* path, struct statvfs64* found), (path, found), on_path(STAT, AT_FDCWD, path))

int posix_fallocate(int fd, off_t at, off_t size) {
  REAL(int, (int, off_t, off_t), "posix_fallocate")
  const enum action action = on_fd(TRUNCATE, fd);
  if (action == FAIL || action == SHORT) return settings.reason;
  const int result = real(fd, at, size);
  if (action == TEAR) die();
  return result;
}

int posix_fallocate64(int fd, off64_t at, off64_t size) {
  return posix_fallocate(fd, at, size);
}

/* Record locks: other commands of fcntl pass. */
#define RECORD_LOCK(name)                                                                               \
  int name(int fd, int command, ...) {                                                                  \
    REAL(int, (int, int, ...), #name)                                                                   \
    va_list list;                                                                                       \
    va_start(list, command);                                                                            \
    void* argument = va_arg(list, void*);                                                               \
    va_end(list);                                                                                       \
    const int locks =                                                                                   \
        command == F_SETLK || command == F_SETLKW || command == F_OFD_SETLK || command == F_OFD_SETLKW; \
    DECIDED(locks ? on_fd(LOCK, fd) : PASS, real(fd, command, argument))                                \
  }
RECORD_LOCK(fcntl)
RECORD_LOCK(fcntl64)

/* Opens: `mode` is read where it is given. */
#define OPENING(name, parameters, types, call, folder)                \
  int name parameters {                                               \
    REAL(int, types, #name)                                           \
    mode_t mode = 0;                                                  \
    if ((flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE) { \
      va_list list;                                                   \
      va_start(list, flags);                                          \
      mode = va_arg(list, mode_t);                                    \
      va_end(list);                                                   \
    }                                                                 \
    DECIDED(on_path(OPEN, folder, path), real call)                   \
  }
OPENING(open, (const char* path, int flags, ...), (const char*, int, ...), (path, flags, mode), AT_FDCWD)
OPENING(open64, (const char* path, int flags, ...), (const char*, int, ...), (path, flags, mode), AT_FDCWD)
OPENING(openat, (int folder, const char* path, int flags, ...), (int, const char*, int, ...),
        (folder, path, flags, mode), folder)
OPENING(openat64, (int folder, const char* path, int flags, ...), (int, const char*, int, ...),
        (folder, path, flags, mode), folder)

/* Calls that return a pointer; NULL is the failure. */
#define POINTER(type, name, arguments, call, decide) \
  type* name arguments {                             \
    REAL(type*, arguments, #name)                    \
    const enum action action = decide;               \
    if (action == FAIL || action == SHORT) {         \
      errno = settings.reason;                       \
      return NULL;                                   \
    }                                                \
    type* result = real call;                        \
    if (action == TEAR) die();                       \
    return result;                                   \
  }
POINTER(FILE, fopen, (const char* path, const char* mode), (path, mode), on_path(OPEN, AT_FDCWD, path))
POINTER(FILE, fopen64, (const char* path, const char* mode), (path, mode), on_path(OPEN, AT_FDCWD, path))
POINTER(DIR, opendir, (const char* path), (path), on_path(LIST, AT_FDCWD, path))
POINTER(struct dirent, readdir, (DIR * folder), (folder), on_fd(LIST, dirfd(folder)))
POINTER(struct dirent64, readdir64, (DIR * folder), (folder), on_fd(LIST, dirfd(folder)))

int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*run)(void*), void* argument) {
  REAL(int, (pthread_t*, const pthread_attr_t*, void* (*)(void*), void*), "pthread_create")
  const enum action action = counts_kind(THREAD) ? counted(THREAD, "") : PASS;
  if (action == FAIL || action == SHORT) return settings.reason;
  const int result = real(thread, attributes, run, argument);
  if (action == TEAR) die();
  return result;
}

static int fails_memory(enum kind kind, size_t size) {
  if (fails_next) {
    fails_next = 0;
    errno = settings.reason;
    return 1;
  }
  if (!counts_kind(kind) || size < settings.min_bytes) return 0;
  const enum action action = counted(kind, "");
  if (action == PASS) return 0;
  if (action == TEAR) die();
  errno = settings.reason;
  return 1;
}

extern void* __libc_malloc(size_t size);
extern void* __libc_calloc(size_t count, size_t size);
extern void* __libc_realloc(void* memory, size_t size);
extern void* __libc_memalign(size_t alignment, size_t size);

void* malloc(size_t size) {
  return fails_memory(MEMORY, size) ? NULL : __libc_malloc(size);
}

void* calloc(size_t count, size_t size) {
  return fails_memory(MEMORY, count * size) ? NULL : __libc_calloc(count, size);
}

void* realloc(void* memory, size_t size) {
  return fails_memory(MEMORY, size) ? NULL : __libc_realloc(memory, size);
}

void* memalign(size_t alignment, size_t size) {
  return fails_memory(MEMORY, size) ? NULL : __libc_memalign(alignment, size);
}

void* aligned_alloc(size_t alignment, size_t size) {
  return memalign(alignment, size);
}

int posix_memalign(void** memory, size_t alignment, size_t size) {
  *memory = memalign(alignment, size);
  return *memory == NULL ? ENOMEM : 0;
}

/* operator new and operator new[]. Each allocates by a function above and throws when that fails. This file
 * is compiled with -fexceptions, so that the exception passes through. A program without C++ has no such
 * operators of its own. */
#define OPERATOR_NEW(name, types, arguments, call, otherwise) \
  void* name arguments {                                      \
    REAL(void*, types, #name)                                 \
    if (real == NULL) return otherwise;                       \
    fails_next = fails_memory(NEW, size);                     \
    return real call;                                         \
  }
OPERATOR_NEW(_Znwm, (size_t), (size_t size), (size), malloc(size))
OPERATOR_NEW(_Znam, (size_t), (size_t size), (size), malloc(size))
OPERATOR_NEW(_ZnwmSt11align_val_t, (size_t, size_t), (size_t size, size_t alignment), (size, alignment),
             memalign(alignment, size))
OPERATOR_NEW(_ZnamSt11align_val_t, (size_t, size_t), (size_t size, size_t alignment), (size, alignment),
             memalign(alignment, size))

/* Anonymous memory counts always, files below the folder. */
#define MAPPING(name, offset)                                                           \
  void* name(void* place, size_t size, int protection, int flags, int fd, offset at) {  \
    REAL(void*, (void*, size_t, int, int, int, offset), #name)                          \
    const int counts_here = (flags & MAP_ANONYMOUS) != 0 && size >= settings.min_bytes; \
    enum action action = PASS;                                                          \
    if (counts_here) action = counts_kind(MAP) ? counted(MAP, "") : PASS;               \
    if ((flags & MAP_ANONYMOUS) == 0) action = on_fd(MAP, fd);                          \
    if (action == FAIL || action == SHORT) {                                            \
      errno = settings.reason;                                                          \
      return MAP_FAILED;                                                                \
    }                                                                                   \
    if (action == TEAR) die();                                                          \
    return real(place, size, protection, flags, fd, at);                                \
  }
MAPPING(mmap, off_t)
MAPPING(mmap64, off64_t)
