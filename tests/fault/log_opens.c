/* Preloaded into a program (LD_PRELOAD), records the files that it opens: a line "RANK PATH" for each
 * opening.
 *
 *   TESSERA_OPENS_LOG    the file to append to; its own folder is not recorded
 *   TESSERA_OPENS_UNDER  records only absolute paths with this prefix, and all relative ones
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#define NEXT(type, name) ((type)dlsym(RTLD_NEXT, name))

static void note(const char* path) {
  const char* log = getenv("TESSERA_OPENS_LOG");
  const char* under = getenv("TESSERA_OPENS_UNDER");
  if (log == NULL || under == NULL || path == NULL) return;
  if (path[0] == '/' && strncmp(path, under, strlen(under)) != 0) return;
  const char* rank = getenv("OMPI_COMM_WORLD_RANK");
  char line[4200];
  const int size = snprintf(line, sizeof line, "%s %s\n", rank == NULL ? "0" : rank, path);
  if (size <= 0 || (size_t)size >= sizeof line) return;
  const int before = errno;
  const int fd =
      NEXT(int (*)(const char*, int, ...), "open")(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (fd >= 0) {
    if (write(fd, line, (size_t)size) != size) abort(); /* a log with gaps would look like few openings */
    close(fd);
  }
  errno = before;
}

/* The mode of an open() that may create its file. */
#define MODE_OF(flags, mode)                      \
  do {                                            \
    if (((flags) & (O_CREAT | O_TMPFILE)) != 0) { \
      va_list more;                               \
      va_start(more, flags);                      \
      mode = va_arg(more, mode_t);                \
      va_end(more);                               \
    }                                             \
  } while (0)

int open(const char* path, int flags, ...) {
  mode_t mode = 0;
  MODE_OF(flags, mode);
  note(path);
  return NEXT(int (*)(const char*, int, ...), "open")(path, flags, mode);
}

int open64(const char* path, int flags, ...) {
  mode_t mode = 0;
  MODE_OF(flags, mode);
  note(path);
  return NEXT(int (*)(const char*, int, ...), "open64")(path, flags, mode);
}

FILE* fopen(const char* path, const char* how) {
  note(path);
  return NEXT(FILE * (*)(const char*, const char*), "fopen")(path, how);
}

FILE* fopen64(const char* path, const char* how) {
  note(path);
  return NEXT(FILE * (*)(const char*, const char*), "fopen64")(path, how);
}
