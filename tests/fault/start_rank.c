/* start_rank SOCKET ARGUMENT...: stands for a rank under mpirun, which a rank server (fork_server.c) starts
 * with this process's folder, environment and standard streams. Passes signals on, and ends as the rank does.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "rank_socket.h"

static volatile pid_t rank = 0;

static void pass_on(int number) {
  const int before = errno;
  if (rank > 0) kill(rank, number);
  errno = before;
}

static int32_t receive_number(int from) {
  int32_t number;
  ssize_t got;
  while ((got = read(from, &number, sizeof number)) < 0 && errno == EINTR) {
  }
  if (got != sizeof number) exit(97);
  return number;
}

static void append(char** text, size_t* size, const char* string) {
  const size_t more = strlen(string) + 1;
  *text = realloc(*text, *size + more);
  if (*text == NULL) exit(97);
  memcpy(*text + *size, string, more);
  *size += more;
}

int main(int argc, char** argv) {
  if (argc < 2) return 97;
  const int server = socket_at(argv[1], connect);
  if (server < 0) {
    perror("start_rank: cannot reach the rank server");
    return 97;
  }
  char *request = NULL, number[20], *folder = get_current_dir_name();
  size_t size = 0;
  int variables = 0;
  while (environ[variables] != NULL)
    ++variables;
  snprintf(number, sizeof number, "%d", variables);
  append(&request, &size, folder == NULL ? "/" : folder);
  append(&request, &size, number);
  for (int i = 0; i < variables; ++i)
    append(&request, &size, environ[i]);
  for (int i = 2; i < argc; ++i)
    append(&request, &size, argv[i]);
  const int passed[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGCONT};
  for (size_t i = 0; i < sizeof passed / sizeof *passed; ++i)
    signal(passed[i], pass_on);
  if (!send_streams(server, (uint32_t)size)) return 97;
  for (size_t sent = 0; sent < size;) {
    const ssize_t got = write(server, request + sent, size - sent);
    if (got < 0 && errno != EINTR) return 97;
    if (got > 0) sent += (size_t)got;
  }
  rank = receive_number(server);
  const int status = receive_number(server);
  if (WIFSIGNALED(status)) {
    signal(WTERMSIG(status), SIG_DFL);
    raise(WTERMSIG(status));
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 97;
}
