#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace tessera {

/// SHA-256 (FIPS 180-4) of all bytes added, in order.
class Sha256 {
 public:
  /// Errors: Error when the cryptographic library cannot start.
  Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;
  ~Sha256();

  Sha256& add(std::span<const std::byte> bytes);
  Sha256& add(std::string_view text);
  /// 64 hexadecimal digits. Nothing can be added afterwards.
  std::string hex();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// SHA-256 of a text: 64 hexadecimal digits.
std::string sha256_of(std::string_view text);

/// `bytes` random bytes from the operating system, in hexadecimal digits. Errors: Error.
std::string random_hex(std::size_t bytes);

}  // namespace tessera
