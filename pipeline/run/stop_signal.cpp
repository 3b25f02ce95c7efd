#include "pipeline/run/stop_signal.h"

#include <csignal>
#include <initializer_list>

namespace tessera {
namespace {

// A signal handler may write only a variable of this type.
volatile std::sig_atomic_t stop_asked = 0;

void remember(int signal) {
  stop_asked = 1;
  if (signal == SIGINT) std::signal(SIGINT, SIG_DFL);
}

void handle(std::initializer_list<int> signals) {
  struct sigaction action {};
  action.sa_handler = remember;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  for (const int signal : signals)
    sigaction(signal, &action, nullptr);
}

}  // namespace

void StopSignal::remember_early_warnings() {
  handle({SIGUSR2});
}

StopSignal::StopSignal() {
  handle({SIGINT, SIGTERM, SIGUSR2});
}

bool StopSignal::asked() const {
  return stop_asked != 0;
}

}  // namespace tessera
