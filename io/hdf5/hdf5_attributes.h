#pragma once

#include <hdf5.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace tessera {

// Every function fails with an Error when the library does: an attribute that cannot be read is not absent.

/// The numbers of an attribute of any numeric type; empty when it does not exist, or holds no numbers.
std::vector<double> read_double_attribute(hid_t object, const std::string& name);

/// The exact value of a scalar integer attribute; none when it does not exist.
std::optional<long long> read_integer_attribute(hid_t object, const std::string& name);

/// The strings of an attribute, of fixed or variable length, an array or one; empty when it does not exist.
std::vector<std::string> read_string_list(hid_t object, const std::string& name);

/// Every scalar string attribute of an object, of fixed or variable length.
std::map<std::string, std::string> read_string_attributes(hid_t object);

/// The names of all attributes of an object.
std::vector<std::string> attribute_names(hid_t object);

/// Copies every attribute. Errors: Error, also for references, which have no meaning in another file.
void copy_attributes(hid_t from, hid_t to, const std::string& what);
/// Errors: Error when `copy` lacks an attribute of `original`, or has another value.
void require_equal_attributes(hid_t original, hid_t copy, const std::string& what);

/// Writes a 1-D float64 attribute. Errors: Error.
void write_attribute(hid_t object, const std::string& name, const std::vector<double>& values);
/// Writes a scalar int64 attribute. Errors: Error.
void write_attribute(hid_t object, const std::string& name, long long value);
/// Writes a scalar UTF-8 string attribute of any length (dense storage for long ones). Errors: Error.
void write_attribute(hid_t object, const std::string& name, const std::string& text);
/// A text of variable length, which HDF5 stores in its global heap, without a checksum.
void write_variable_text(hid_t object, const std::string& name, const std::string& text);

}  // namespace tessera
