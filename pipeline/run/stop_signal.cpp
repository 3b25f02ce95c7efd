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

}  // namespace

StopSignal::StopSignal() {
  struct sigaction action {};
  action.sa_handler = remember;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  for (const int signal : {SIGINT, SIGTERM, SIGUSR2})
    sigaction(signal, &action, nullptr);
}

bool StopSignal::asked() const {
  return stop_asked != 0;
}

}  // namespace tessera
