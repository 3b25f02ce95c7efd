#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace tessera {

/// Checks the bytes of a zip archive, such as a TorchScript file, before a library reads them. Local headers,
/// central directory and end records must agree and cover every byte of the file. Each entry's data, stored
/// or deflated, must have the stored size and CRC-32. `name` is for messages.
/// Memory: a few MiB beyond the bytes. Errors: Error with the entry and what is wrong with it.
void require_intact_zip(std::span<const std::byte> bytes, const std::string& name);

}  // namespace tessera
