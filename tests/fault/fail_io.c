/* Preloaded into a program (LD_PRELOAD), makes its reads or writes of one file fail: full disks and broken
 * ones on demand. Or lets them be and, with TESSERA_FAIL_LOG=FILE, appends a line with the place of each
 * pwrite to FILE; with TESSERA_FAIL_DELAY_MS=N makes each wait for so long first.
 *
 *   TESSERA_FAIL_CALL   pread, pwrite, fdatasync, fsync or fallocate
 *   TESSERA_FAIL_NAME   how the file's path ends, with * for any characters
 *   TESSERA_FAIL_ERRNO  such as 28 (ENOSPC) or 5 (EIO)
 *   TESSERA_FAIL_NTH    the first call of each process that fails, from 1; default 1
 *   TESSERA_FAIL_TIMES  how many fail from there on; default all
 *   TESSERA_FAIL_RANK   only in this rank of mpirun; default all
 *   TESSERA_FAIL_AT     only calls at this place in the file (pread, pwrite); default everywhere
 *   TESSERA_FAIL_SLEEP_MS  N: instead of failing, the call takes so long
 *   TESSERA_FAIL_BUSY_MS   N: the same, with the processor busy
 *   TESSERA_FAIL_STOP   1: instead of failing, the process stops as by SIGSTOP, and goes on by SIGCONT
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

static long number_of(const char* name, long fallback) {
  const char* text = getenv(name);
  return text == NULL ? fallback : strtol(text, NULL, 10);
}

static double seconds_now(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static int is_named(int fd) {
  const char* end = getenv("TESSERA_FAIL_NAME");
  char link[64], path[4096], pattern[4096];
  if (end == NULL) return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  const ssize_t size = readlink(link, path, sizeof path - 1);
  if (size < 0) return 0;
  path[size] = 0;
  snprintf(pattern, sizeof pattern, "*%s", end);
  return fnmatch(pattern, path, 0) == 0;
}

/* The errno that this call is to fail with, or 0. `at`: its place in the file; -1 for none. */
static int fails(const char* call, int fd, off_t at) {
  static atomic_long calls = 0;
  const char* wanted = getenv("TESSERA_FAIL_CALL");
  if (wanted == NULL || strcmp(wanted, call) != 0 || !is_named(fd)) return 0;
  const char* rank = getenv("TESSERA_FAIL_RANK");
  const char* mine = getenv("OMPI_COMM_WORLD_RANK");
  if (rank != NULL && (mine == NULL || strcmp(rank, mine) != 0)) return 0;
  const long place = number_of("TESSERA_FAIL_AT", -1);
  if (place >= 0 && at != place) return 0;
  const long nth = number_of("TESSERA_FAIL_NTH", 1), times = number_of("TESSERA_FAIL_TIMES", -1);
  const long now = atomic_fetch_add(&calls, 1) + 1;
  if (now < nth || (times >= 0 && now >= nth + times)) return 0;
  if (number_of("TESSERA_FAIL_STOP", 0) != 0) {
    raise(SIGSTOP);
    return 0;
  }
  const long sleep_ms = number_of("TESSERA_FAIL_SLEEP_MS", 0), busy_ms = number_of("TESSERA_FAIL_BUSY_MS", 0);
  if (sleep_ms > 0 || busy_ms > 0) {
    const double end_s = seconds_now() + 1e-3 * (double)busy_ms;
    usleep((useconds_t)(1000 * sleep_ms));
    while (seconds_now() < end_s) {
    }
    return 0;
  }
  return (int)number_of("TESSERA_FAIL_ERRNO", EIO);
}

/* One write of a few bytes at the end of a file: lines of several processes do not mix. */
static void note(int fd, size_t size, off_t at) {
  const char* log = getenv("TESSERA_FAIL_LOG");
  if (!is_named(fd)) return;
  usleep((useconds_t)(1000 * number_of("TESSERA_FAIL_DELAY_MS", 0)));
  if (log == NULL) return;
  char line[64];
  const int length = snprintf(line, sizeof line, "%lld %zu\n", (long long)at, size);
  const int out = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (out < 0 || write(out, line, (size_t)length) != length) abort();
  close(out);
}

#define NEXT(type, name) ((type)dlsym(RTLD_NEXT, name))

ssize_t pwrite(int fd, const void* bytes, size_t size, off_t at) {
  note(fd, size, at);
  const int reason = fails("pwrite", fd, at);
  if (reason != 0) {
    errno = reason;
    return -1;
  }
  return NEXT(ssize_t(*)(int, const void*, size_t, off_t), "pwrite")(fd, bytes, size, at);
}

ssize_t pwrite64(int fd, const void* bytes, size_t size, off64_t at) {
  return pwrite(fd, bytes, size, at);
}

ssize_t pread(int fd, void* bytes, size_t size, off_t at) {
  const int reason = fails("pread", fd, at);
  if (reason != 0) {
    errno = reason;
    return -1;
  }
  return NEXT(ssize_t(*)(int, void*, size_t, off_t), "pread")(fd, bytes, size, at);
}

ssize_t pread64(int fd, void* bytes, size_t size, off64_t at) {
  return pread(fd, bytes, size, at);
}

int fdatasync(int fd) {
  const int reason = fails("fdatasync", fd, -1);
  if (reason != 0) {
    errno = reason;
    return -1;
  }
  return NEXT(int (*)(int), "fdatasync")(fd);
}

int fsync(int fd) {
  const int reason = fails("fsync", fd, -1);
  if (reason != 0) {
    errno = reason;
    return -1;
  }
  return NEXT(int (*)(int), "fsync")(fd);
}

int posix_fallocate(int fd, off_t at, off_t size) {
  const int reason = fails("fallocate", fd, -1);
  if (reason != 0) return reason;
  return NEXT(int (*)(int, off_t, off_t), "posix_fallocate")(fd, at, size);
}

int posix_fallocate64(int fd, off64_t at, off64_t size) {
  return posix_fallocate(fd, at, size);
}

int fallocate(int fd, int mode, off_t at, off_t size) {
  const int reason = fails("fallocate", fd, -1);
  if (reason != 0) {
    errno = reason;
    return -1;
  }
  return NEXT(int (*)(int, int, off_t, off_t), "fallocate")(fd, mode, at, size);
}

int fallocate64(int fd, int mode, off64_t at, off64_t size) {
  return fallocate(fd, mode, at, size);
}
