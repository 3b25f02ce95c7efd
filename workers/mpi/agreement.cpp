#include "workers/mpi/agreement.h"

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <string>

#include "io/base/error_message.h"
#include "workers/mpi/mpi_session.h"

namespace tessera {
namespace {

/// One letter for the type of error, then its message; "" for none.
std::string outcome_of(const std::function<void()>& step) {
  try {
    step();
    return {};
  } catch (const StoppedEarly& error) {
    return std::string("S") + error.what();
  } catch (const UsageError& error) {
    return std::string("U") + error.what();
  } catch (const std::exception& error) {
    return "E" + message_of(error);
  }
}

void throw_outcome(const std::string& outcome, const std::string& where = "") {
  const std::string message = outcome.substr(1) + where;
  if (outcome[0] == 'S') throw StoppedEarly(message);
  if (outcome[0] == 'U') throw UsageError(message);
  throw AgreedError(message);
}

}  // namespace

void on_every_rank(const Communicator& world, const std::function<void()>& step) {
  const std::string mine = outcome_of(step);
  if (!world.any(!mine.empty())) return;
  const std::vector<std::string> outcomes = world.all_gather(mine);
  const std::vector<std::string> places = world.all_gather(mine.empty() ? "" : place_name());
  const auto is_failure = [](const std::string& outcome) { return !outcome.empty(); };
  const auto failed = std::ranges::count_if(outcomes, is_failure);
  const auto first = static_cast<std::size_t>(std::ranges::find_if(outcomes, is_failure) - outcomes.begin());
  std::string where;
  if (failed < world.size() - 1) {  // a step of all workers fails on all ranks but the coordinator
    where = failed == 1
                ? fmt::format(" (on {} alone)", places[first])
                : fmt::format(" (on {} of {} ranks, such as {})", failed, world.size(), places[first]);
  }
  throw_outcome(outcomes[first], where);
}

void on_root(const Communicator& world, const std::function<void()>& step) {
  std::string outcome = world.is_root() ? outcome_of(step) : std::string();
  world.broadcast(outcome);
  if (!outcome.empty()) throw_outcome(outcome);
}

}  // namespace tessera
