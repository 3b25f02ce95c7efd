#include "io/hdf5/hdf5_attributes.h"

#include <algorithm>

#include "io/hdf5/hdf5_handle.h"

namespace tessera {
namespace {

void write_raw(hid_t object, const std::string& name, hid_t type, hid_t space, const void* data) {
  const std::string what = "cannot write the attribute '" + name + "'";
  Hdf5Handle attribute(
      check_hdf5(H5Acreate2(object, name.c_str(), type, space, H5P_DEFAULT, H5P_DEFAULT), what), H5Aclose);
  check_hdf5(H5Awrite(attribute.get(), type, data), what);
}

std::string read_string(hid_t attribute) {
  Hdf5Handle type(H5Aget_type(attribute), H5Tclose);
  if (H5Tis_variable_str(type.get()) > 0) {
    char* text = nullptr;
    if (H5Aread(attribute, type.get(), &text) < 0 || text == nullptr) return {};
    std::string copy(text);
    H5free_memory(text);
    return copy;
  }
  std::string text(H5Tget_size(type.get()), '\0');
  if (H5Aread(attribute, type.get(), text.data()) < 0) return {};
  text.resize(std::min(text.find('\0'), text.size()));
  return text;
}

}  // namespace

std::vector<double> read_double_attribute(hid_t object, const std::string& name) {
  if (H5Aexists(object, name.c_str()) <= 0) return {};
  Hdf5Handle attribute(check_hdf5(H5Aopen(object, name.c_str(), H5P_DEFAULT), "cannot open '" + name + "'"),
                       H5Aclose);
  Hdf5Handle type(H5Aget_type(attribute.get()), H5Tclose);
  const H5T_class_t kind = H5Tget_class(type.get());
  if (kind != H5T_INTEGER && kind != H5T_FLOAT) return {};
  Hdf5Handle space(H5Aget_space(attribute.get()), H5Sclose);
  const hssize_t count = H5Sget_simple_extent_npoints(space.get());
  if (count <= 0 || count > 1'000'000) return {};
  std::vector<double> values(static_cast<std::size_t>(count));
  check_hdf5(H5Aread(attribute.get(), H5T_NATIVE_DOUBLE, values.data()), "cannot read '" + name + "'");
  return values;
}

std::optional<long long> read_integer_attribute(hid_t object, const std::string& name) {
  if (H5Aexists(object, name.c_str()) <= 0) return {};
  Hdf5Handle attribute(check_hdf5(H5Aopen(object, name.c_str(), H5P_DEFAULT), "cannot open '" + name + "'"),
                       H5Aclose);
  Hdf5Handle type(H5Aget_type(attribute.get()), H5Tclose);
  Hdf5Handle space(H5Aget_space(attribute.get()), H5Sclose);
  if (H5Tget_class(type.get()) != H5T_INTEGER || H5Sget_simple_extent_npoints(space.get()) != 1) return {};
  long long value = 0;
  check_hdf5(H5Aread(attribute.get(), H5T_NATIVE_LLONG, &value), "cannot read '" + name + "'");
  return value;
}

std::map<std::string, std::string> read_string_attributes(hid_t object) {
  std::map<std::string, std::string> found;
  hsize_t at = 0;
  H5Aiterate2(
      object, H5_INDEX_NAME, H5_ITER_INC, &at,
      [](hid_t parent, const char* name, const H5A_info_t*, void* out) -> herr_t {
        Hdf5Handle attribute(H5Aopen(parent, name, H5P_DEFAULT), H5Aclose);
        Hdf5Handle type(H5Aget_type(attribute.get()), H5Tclose);
        Hdf5Handle space(H5Aget_space(attribute.get()), H5Sclose);
        if (H5Tget_class(type.get()) == H5T_STRING && H5Sget_simple_extent_npoints(space.get()) == 1) {
          (*static_cast<std::map<std::string, std::string>*>(out))[name] = read_string(attribute.get());
        }
        return 0;
      },
      &found);
  return found;
}

std::vector<std::string> attribute_names(hid_t object) {
  std::vector<std::string> names;
  hsize_t at = 0;
  H5Aiterate2(
      object, H5_INDEX_NAME, H5_ITER_INC, &at,
      [](hid_t, const char* name, const H5A_info_t*, void* out) -> herr_t {
        static_cast<std::vector<std::string>*>(out)->emplace_back(name);
        return 0;
      },
      &names);
  return names;
}

void write_attribute(hid_t object, const std::string& name, const std::vector<double>& values) {
  const hsize_t count = values.size();
  Hdf5Handle space(H5Screate_simple(1, &count, nullptr), H5Sclose);
  write_raw(object, name, H5T_NATIVE_DOUBLE, space.get(), values.data());
}

void write_attribute(hid_t object, const std::string& name, long long value) {
  Hdf5Handle space(H5Screate(H5S_SCALAR), H5Sclose);
  write_raw(object, name, H5T_NATIVE_LLONG, space.get(), &value);
}

void write_attribute(hid_t object, const std::string& name, const std::string& text) {
  Hdf5Handle space(H5Screate(H5S_SCALAR), H5Sclose);
  Hdf5Handle type(H5Tcopy(H5T_C_S1), H5Tclose);
  H5Tset_size(type.get(), std::max<std::size_t>(text.size(), 1));
  H5Tset_cset(type.get(), H5T_CSET_UTF8);
  H5Tset_strpad(type.get(), H5T_STR_NULLPAD);
  const std::string padded = text.empty() ? std::string(1, '\0') : text;
  write_raw(object, name, type.get(), space.get(), padded.data());
}

}  // namespace tessera
