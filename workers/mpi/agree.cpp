#include "workers/mpi/agree.h"

#include <exception>
#include <string>

#include "io/error_words.h"


namespace tessera {
namespace {

/// One letter for the kind of error, then its words; "" for none.
std::string outcome_of(const std::function<void()>& step) {
  try {
    step();
    return {};
  } catch (const StoppedEarly& error) {
    return std::string("S") + error.what();
  } catch (const UsageError& error) {
    return std::string("U") + error.what();
  } catch (const std::exception& error) {
    return "E" + words_of(error);
  }
}

void throw_outcome(const std::string& outcome) {
  const std::string words = outcome.substr(1);
  if (outcome[0] == 'S') throw StoppedEarly(words);
  if (outcome[0] == 'U') throw UsageError(words);
  throw AgreedError(words);
}

}  // namespace

void on_every_rank(const Communicator& world, const std::function<void()>& step) {
  const std::string mine = outcome_of(step);
  if (!world.any(!mine.empty())) return;
  for (const std::string& outcome : world.all_gather(mine)) {
    if (!outcome.empty()) throw_outcome(outcome);
  }
}

void on_root(const Communicator& world, const std::function<void()>& step) {
  std::string outcome = world.is_root() ? outcome_of(step) : std::string();
  world.broadcast(outcome);
  if (!outcome.empty()) throw_outcome(outcome);
}

}  // namespace tessera
