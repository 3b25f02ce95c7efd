#pragma once

#include <hdf5.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace tessera {

/// The numbers of an attribute, whatever their stored type; empty when there is no such attribute.
std::vector<double> read_double_attribute(hid_t object, const std::string& name);

/// The whole number of a scalar integer attribute, exact; none when there is no such attribute.
std::optional<long long> read_integer_attribute(hid_t object, const std::string& name);

/// Every string attribute (fixed or variable length, scalar) of an object.
std::map<std::string, std::string> read_string_attributes(hid_t object);

/// The names of every attribute of an object.
std::vector<std::string> attribute_names(hid_t object);

/// Writes a 1-D float64 attribute. Errors: Error.
void write_attribute(hid_t object, const std::string& name, const std::vector<double>& values);
/// Writes a scalar int64 attribute. Errors: Error.
void write_attribute(hid_t object, const std::string& name, long long value);
/// Writes a scalar UTF-8 string attribute (of any length: long ones go to dense storage). Errors: Error.
void write_attribute(hid_t object, const std::string& name, const std::string& text);

}  // namespace tessera
