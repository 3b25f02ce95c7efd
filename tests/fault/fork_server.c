/* Preloaded into a program (LD_PRELOAD), takes the place of its main(). With TESSERA_FORK_SERVER=IN,OUT (two
 * open file descriptors) the program, with its libraries loaded, waits for requests and forks for each: a
 * start then costs a hundredth of a second and not most of a second. Without it, main() runs as ever. Either
 * way the counting of nth_call.c begins with main().
 *
 * A request, through IN: a uint32 of its size, then strings that end with a zero byte: the folder to start
 * in, the files for standard output and standard error, the limit of the address space in bytes (0: none),
 * the number of changes to the environment, these (NAME=VALUE, or NAME to remove it), and the arguments
 * without the program's name. Replies, through OUT: the int32 process id at the start and the int32 status of
 * waitpid at the end. A client that waits too long kills the process; the status comes then, too. The server
 * ends when IN is closed.
 *
 * With TESSERA_RANK_SERVER=SOCKET,FD it starts ranks of mpirun instead, for start_rank.c, which connects to
 * this socket. The server ends when FD, the end of a pipe, is closed.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "nth_call.h"
#include "rank_socket.h"

enum { MOST_ARGUMENTS = 250 };

typedef int (*main_function)(int, char**, char**);
static main_function real_main;

static int read_fully(int fd, void* memory, size_t size) {
  char* place = memory;
  while (size > 0) {
    const ssize_t got = read(fd, place, size);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return 0;
    place += got;
    size -= (size_t)got;
  }
  return 1;
}

static char* next_string(char** place) {
  char* text = *place;
  *place += strlen(text) + 1;
  return text;
}

static void limit(int resource, rlim_t value) {
  const struct rlimit both = {value, value};
  if (setrlimit(resource, &both) != 0) _exit(98);
}

static void send_to(const char* file, int fd) {
  const int opened = open(file, O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (opened < 0 || dup2(opened, fd) != fd) _exit(98);
  if (opened != fd) close(opened);
}

/* Runs main() with the strings that are left of a request as arguments. Does not return. */
static void run_main(char* program, char* request, const char* end) {
  char* arguments[MOST_ARGUMENTS + 2];
  int count = 0;
  arguments[count++] = program;
  while (request < end && count <= MOST_ARGUMENTS)
    arguments[count++] = next_string(&request);
  arguments[count] = NULL;
  limit(RLIMIT_CORE, 0);
  nth_call_begin();
  const int code = real_main(count, arguments, environ);
  /* Destructors of static objects would copy most of the libraries' pages: ten times the cost of a start. */
  fflush(NULL);
  _exit(code);
}

/* The child: becomes the process that was asked for. Does not return. */
static void start(char* program, char* request, const char* end) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  setsid();
  const char* folder = next_string(&request);
  const char* output = next_string(&request);
  const char* errors = next_string(&request);
  const long memory = atol(next_string(&request));
  const long changes = atol(next_string(&request));
  unsetenv("LD_PRELOAD");
  unsetenv("TESSERA_FORK_SERVER");
  for (long i = 0; i < changes; ++i) {
    char* change = next_string(&request);
    if (putenv(change) != 0) _exit(98); /* without '=' it removes */
  }
  const int nothing = open("/dev/null", O_RDONLY);
  if (chdir(folder) != 0 || nothing < 0 || dup2(nothing, 0) != 0) _exit(98);
  if (nothing > 0) close(nothing);
  send_to(output, 1);
  send_to(errors, 2);
  if (memory > 0) limit(RLIMIT_AS, (rlim_t)memory);
  run_main(program, request, end);
}

static void serve(int in, int out, char* program) {
  const int32_t ready = 0;
  if (write(out, &ready, sizeof ready) != sizeof ready) _exit(1);
  for (;;) {
    uint32_t size;
    if (!read_fully(in, &size, sizeof size)) _exit(0);
    char* request = malloc(size + 1);
    if (request == NULL || !read_fully(in, request, size)) _exit(1);
    request[size] = 0;
    const pid_t child = fork();
    if (child == 0) {
      close(in);
      close(out);
      start(program, request, request + size);
    }
    free(request);
    int32_t reply = child, status = 0;
    if (child < 0 || write(out, &reply, sizeof reply) != sizeof reply) _exit(1);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    reply = status;
    if (write(out, &reply, sizeof reply) != sizeof reply) _exit(1);
  }
}

/* The rank: becomes the process that the client stands for. Does not return. */
static void start_rank(char* program, const int* streams, char* request, const char* end) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  const char* folder = next_string(&request);
  const long variables = atol(next_string(&request));
  clearenv();
  for (long i = 0; i < variables; ++i) {
    if (putenv(next_string(&request)) != 0) _exit(98);
  }
  if (chdir(folder) != 0) _exit(98);
  for (int i = 0; i < STREAMS; ++i) {
    if (dup2(streams[i], i) != i) _exit(98);
    close(streams[i]);
  }
  run_main(program, request, end);
}

/* Starts a rank for a client, sends its process id, and its status at its end. A client that is gone takes
 * the rank with it. */
static void keep_rank(int client, char* program) {
  int streams[STREAMS];
  uint32_t size;
  if (!receive_streams(client, &size, streams)) _exit(1);
  char* request = malloc(size + 1);
  if (request == NULL || !read_fully(client, request, size)) _exit(1);
  request[size] = 0;
  const pid_t rank = fork();
  if (rank == 0) {
    close(client);
    start_rank(program, streams, request, request + size);
  }
  for (int i = 0; i < STREAMS; ++i)
    close(streams[i]);
  int32_t reply = rank, status = 0;
  if (rank < 0 || write(client, &reply, sizeof reply) != sizeof reply) _exit(1);
  while (waitpid(rank, &status, WNOHANG) == 0) {
    struct pollfd gone = {.fd = client, .events = POLLIN};
    if (poll(&gone, 1, 3) > 0) kill(rank, SIGKILL);
  }
  reply = status;
  _exit(write(client, &reply, sizeof reply) == sizeof reply ? 0 : 1);
}

static void serve_ranks(const char* socket_path, int owner, char* program) {
  const int listening = socket_at(socket_path, bind);
  if (listening < 0 || listen(listening, 64) != 0) _exit(1);
  signal(SIGCHLD, SIG_IGN); /* the keepers need no waiting for */
  for (;;) {
    struct pollfd both[] = {{.fd = listening, .events = POLLIN}, {.fd = owner, .events = POLLIN}};
    if (poll(both, 2, -1) < 0 && errno != EINTR) _exit(1);
    if (both[1].revents != 0) _exit(0);
    if (both[0].revents == 0) continue;
    const int client = accept(listening, NULL, NULL);
    if (client < 0) continue;
    if (fork() == 0) {
      signal(SIGCHLD, SIG_DFL);
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      close(listening);
      close(owner);
      keep_rank(client, program);
    }
    close(client);
  }
}

static int main_or_server(int argc, char** argv, char** environment) {
  const char* wanted = getenv("TESSERA_FORK_SERVER");
  int in, out;
  if (wanted != NULL && sscanf(wanted, "%d,%d", &in, &out) == 2) serve(in, out, argv[0]);
  const char* ranks = getenv("TESSERA_RANK_SERVER");
  char path[100];
  if (ranks != NULL && sscanf(ranks, "%99[^,],%d", path, &in) == 2) serve_ranks(path, in, argv[0]);
  nth_call_begin();
  return real_main(argc, argv, environment);
}

int __libc_start_main(main_function program_main, int argc, char** argv, void (*init)(void),
                      void (*fini)(void), void (*loader_fini)(void), void* stack_end) {
  typedef int (*start_function)(main_function, int, char**, void (*)(void), void (*)(void), void (*)(void),
                                void*);
  const start_function next = (start_function)dlsym(RTLD_NEXT, "__libc_start_main");
  real_main = program_main;
  return next(main_or_server, argc, argv, init, fini, loader_fini, stack_end);
}
