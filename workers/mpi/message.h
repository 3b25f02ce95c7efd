#pragma once

#include <fmt/format.h>

#include <cstddef>
#include <cstring>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "io/base/error.h"
#include "workers/mpi/communicator.h"

namespace tessera {

/// What can be sent as its bytes. Ranks run the same program on the same architecture.
template <class T>
concept MessageValue = std::is_trivially_copyable_v<T> && !std::is_pointer_v<T>;

/// Throws an Error that names the message's tag, its source, its size and `expected`.
[[noreturn]] inline void throw_message_size(const Message& message, const std::string& expected) {
  throw Error(
      fmt::format("a message with tag {} from rank {} has {} bytes instead of {} (do all ranks run the same "
                  "version of Tessera?)",
                  message.tag, message.source, message.bytes.size(), expected));
}

/// Sends one value.
template <MessageValue T>
void send_value(const Communicator& world, int destination, int tag, const T& value) {
  world.send(destination, tag, std::as_bytes(std::span(&value, 1)));
}

/// The one value that a message holds. Errors: Error when the message has another size.
template <MessageValue T>
T value_of(const Message& message) {
  if (message.bytes.size() != sizeof(T)) throw_message_size(message, fmt::format("{}", sizeof(T)));
  T value;
  std::memcpy(&value, message.bytes.data(), sizeof(T));
  return value;
}

/// Sends any number of values.
template <MessageValue T>
void send_values(const Communicator& world, int destination, int tag, const std::vector<T>& values) {
  world.send(destination, tag, std::as_bytes(std::span(values)));
}

/// The values that a message holds. Errors: Error when its size is not a multiple of a value's.
template <MessageValue T>
std::vector<T> values_of(const Message& message) {
  if (message.bytes.size() % sizeof(T) != 0)
    throw_message_size(message, fmt::format("a multiple of {}", sizeof(T)));
  std::vector<T> values(message.bytes.size() / sizeof(T));
  if (!values.empty()) std::memcpy(values.data(), message.bytes.data(), message.bytes.size());
  return values;
}

/// A message of one value and the bytes behind it.
template <MessageValue T>
std::vector<std::byte> message_bytes(const T& header, std::span<const std::byte> rest) {
  std::vector<std::byte> bytes(sizeof(T) + rest.size());
  std::memcpy(bytes.data(), &header, sizeof(T));
  if (!rest.empty()) std::memcpy(bytes.data() + sizeof(T), rest.data(), rest.size());
  return bytes;
}

/// The parts of such a message; the bytes are those of `message`. Errors: Error when it is shorter than the
/// value.
template <MessageValue T>
std::pair<T, std::span<const std::byte>> header_and_rest(const Message& message) {
  if (message.bytes.size() < sizeof(T)) throw_message_size(message, fmt::format("at least {}", sizeof(T)));
  T header;
  std::memcpy(&header, message.bytes.data(), sizeof(T));
  return {header, std::span(message.bytes).subspan(sizeof(T))};
}

}  // namespace tessera
