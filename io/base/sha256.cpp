#include "io/base/sha256.h"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <sys/random.h>

#include <array>
#include <cassert>
#include <cerrno>
#include <new>
#include <vector>

#include "io/base/error.h"

namespace tessera {
namespace {

std::string hex_of(std::span<const unsigned char> bytes) {
  std::string text;
  for (const unsigned char byte : bytes)
    text += fmt::format("{:02x}", byte);
  return text;
}

void check_digest(int status) {
  if (status != 1)
    throw Error("libcrypto cannot compute SHA-256 (is this OpenSSL's FIPS configuration complete?)");
}

}  // namespace

struct Sha256::State {
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context{EVP_MD_CTX_new(), EVP_MD_CTX_free};
};

Sha256::Sha256() : state_(std::make_unique<State>()) {
  if (state_->context == nullptr) throw std::bad_alloc();
  check_digest(EVP_DigestInit_ex(state_->context.get(), EVP_sha256(), nullptr));
}
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;
Sha256::~Sha256() = default;

Sha256& Sha256::add(std::span<const std::byte> bytes) {
  check_digest(EVP_DigestUpdate(state_->context.get(), bytes.data(), bytes.size()));
  return *this;
}

Sha256& Sha256::add(std::string_view text) {
  return add(std::as_bytes(std::span(text.data(), text.size())));
}

std::string Sha256::hex() {
  std::array<unsigned char, 32> digest{};
  unsigned size = 0;
  check_digest(EVP_DigestFinal_ex(state_->context.get(), digest.data(), &size));
  assert(size == digest.size());
  return hex_of(digest);
}

std::string sha256_of(std::string_view text) {
  return Sha256().add(text).hex();
}

std::string random_hex(std::size_t bytes) {
  std::vector<unsigned char> random(bytes);
  if (::getrandom(random.data(), random.size(), 0) != static_cast<ssize_t>(bytes)) {
    throw Error(fmt::format("the operating system returns no random bytes: {}", errno_text(errno)));
  }
  return hex_of(random);
}

}  // namespace tessera
