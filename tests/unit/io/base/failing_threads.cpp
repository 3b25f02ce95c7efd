#include "tests/unit/io/base/failing_threads.h"

#include <dlfcn.h>
#include <pthread.h>

#include <atomic>
#include <cerrno>

namespace {

std::atomic<int> calls = 0, failing = 0;

}  // namespace

namespace tessera::testing {

FailingThread::FailingThread(int nth) {
  calls = 0;
  failing = nth;
}

FailingThread::~FailingThread() {
  failing = 0;
}

bool FailingThread::has_failed() const {
  return calls >= failing;
}

}  // namespace tessera::testing

// Overrides the C library's function for every library of the program.
extern "C" int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*start)(void*),
                              void* argument) {
  if (failing > 0 && ++calls == failing) return EAGAIN;
  using Create = int (*)(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);
  static const auto create = reinterpret_cast<Create>(dlsym(RTLD_NEXT, "pthread_create"));
  return create(thread, attributes, start, argument);
}
