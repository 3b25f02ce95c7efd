#include "io/hdf5/hdf5_attributes.h"

#include <fmt/format.h>

#include <algorithm>

#include "io/base/error.h"
#include "io/hdf5/hdf5_handle.h"

namespace tessera {
namespace {

void write_raw(hid_t object, const std::string& name, hid_t type, hid_t space, const void* data) {
  const std::string what = "cannot write the attribute '" + name + "'";
  Hdf5Handle attribute(
      check_hdf5(H5Acreate2(object, name.c_str(), type, space, H5P_DEFAULT, H5P_DEFAULT), what), H5Aclose);
  check_hdf5(H5Awrite(attribute.get(), type, data), what);
  if (!attribute.close()) check_hdf5(-1, what);
}

/// An attribute that is open for reading.
class Attribute {
 public:
  Attribute(hid_t object, const std::string& name)
      : what_("cannot read the attribute '" + name + "'"),
        attribute_(check_hdf5(H5Aopen(object, name.c_str(), H5P_DEFAULT), what_), H5Aclose),
        space_(check_hdf5(H5Aget_space(attribute_.get()), what_), H5Sclose) {
    // A copy: a named type belongs to its file.
    const Hdf5Handle stored(check_hdf5(H5Aget_type(attribute_.get()), what_), H5Tclose);
    type_ = Hdf5Handle(check_hdf5(H5Tcopy(stored.get()), what_), H5Tclose);
    const H5S_class_t kind = H5Sget_simple_extent_type(space_.get());
    if (kind == H5S_NO_CLASS) check_hdf5(-1, what_);
    if (kind != H5S_NULL)
      count_ = static_cast<std::size_t>(check_hdf5(H5Sget_simple_extent_npoints(space_.get()), what_));
  }

  hid_t type() const { return type_.get(); }
  hid_t space() const { return space_.get(); }
  std::size_t count() const { return count_; }
  H5T_class_t kind() const { return H5Tget_class(type_.get()); }
  bool holds(H5T_class_t kind) const { return check_hdf5(H5Tdetect_class(type_.get(), kind), what_) > 0; }
  bool has_variable_strings() const { return check_hdf5(H5Tis_variable_str(type_.get()), what_) > 0; }

  void read(hid_t memory_type, void* values) const {
    if (count_ > 0) check_hdf5(H5Aread(attribute_.get(), memory_type, values), what_);
  }

  std::vector<std::string> strings() const {
    std::vector<std::string> texts;
    if (has_variable_strings()) {
      std::vector<char*> values(count_, nullptr);
      read(type_.get(), values.data());
      for (char* value : values) {
        texts.emplace_back(value == nullptr ? "" : value);
        H5free_memory(value);
      }
      return texts;
    }
    const std::size_t size = check_hdf5_size(H5Tget_size(type_.get()), what_);
    std::string values(count_ * size, '\0');
    read(type_.get(), values.data());
    for (std::size_t i = 0; i < count_; ++i) {
      const std::string text = values.substr(i * size, size);
      texts.push_back(text.substr(0, text.find('\0')));
    }
    return texts;
  }

 private:
  std::string what_;
  Hdf5Handle attribute_, space_, type_;
  std::size_t count_ = 0;
};

/// The values of an attribute in memory; what they point to is released with them.
class AttributeBytes {
 public:
  explicit AttributeBytes(const Attribute& attribute)
      : attribute_(attribute), bytes_(attribute.count() * H5Tget_size(attribute.type())) {
    attribute.read(attribute.type(), bytes_.data());
  }
  AttributeBytes(const AttributeBytes&) = delete;
  AttributeBytes& operator=(const AttributeBytes&) = delete;
  ~AttributeBytes() {
    if (attribute_.count() > 0)
      H5Dvlen_reclaim(attribute_.type(), attribute_.space(), H5P_DEFAULT, bytes_.data());
  }
  const std::vector<std::byte>& bytes() const { return bytes_; }

 private:
  const Attribute& attribute_;
  std::vector<std::byte> bytes_;
};

bool exists(hid_t object, const std::string& name) {
  return check_hdf5(H5Aexists(object, name.c_str()), "cannot look for the attribute '" + name + "'") > 0;
}

bool are_equal(const Attribute& a, const Attribute& b, const std::string& what) {
  if (a.count() != b.count() || check_hdf5(H5Tequal(a.type(), b.type()), what) == 0) return false;
  if (a.has_variable_strings()) return a.strings() == b.strings();
  // With pointers inside, the bytes differ; the library copied what they lead to.
  if (a.holds(H5T_VLEN) || (a.kind() != H5T_STRING && a.holds(H5T_STRING))) return true;
  return AttributeBytes(a).bytes() == AttributeBytes(b).bytes();
}

}  // namespace

std::vector<double> read_double_attribute(hid_t object, const std::string& name) {
  if (!exists(object, name)) return {};
  const Attribute attribute(object, name);
  if (attribute.kind() != H5T_INTEGER && attribute.kind() != H5T_FLOAT) return {};
  if (attribute.count() > 1'000'000) return {};
  std::vector<double> values(attribute.count());
  attribute.read(H5T_NATIVE_DOUBLE, values.data());
  return values;
}

std::optional<long long> read_integer_attribute(hid_t object, const std::string& name) {
  if (!exists(object, name)) return {};
  const Attribute attribute(object, name);
  if (attribute.kind() != H5T_INTEGER || attribute.count() != 1) return {};
  long long value = 0;
  attribute.read(H5T_NATIVE_LLONG, &value);
  return value;
}

std::vector<std::string> read_string_list(hid_t object, const std::string& name) {
  if (!exists(object, name)) return {};
  const Attribute attribute(object, name);
  if (attribute.kind() != H5T_STRING) return {};
  return attribute.strings();
}

std::map<std::string, std::string> read_string_attributes(hid_t object) {
  std::map<std::string, std::string> found;
  for (const std::string& name : attribute_names(object)) {
    const Attribute attribute(object, name);
    if (attribute.kind() == H5T_STRING && attribute.count() == 1) found[name] = attribute.strings().front();
  }
  return found;
}

std::vector<std::string> attribute_names(hid_t object) {
  CollectedItems<std::string> collected;
  hsize_t at = 0;
  const auto add = [](hid_t, const char* name, const H5A_info_t*, void* out) noexcept -> herr_t {
    return static_cast<CollectedItems<std::string>*>(out)->add(name);
  };
  // In any other order, HDF5 1.10 frees memory that it never allocated when the list is damaged.
  const herr_t status = H5Aiterate2(object, H5_INDEX_NAME, H5_ITER_NATIVE, &at, add, &collected);
  std::vector<std::string> names = collected.take(status, "cannot list the attributes");
  std::ranges::sort(names);
  return names;
}

void copy_attributes(hid_t from, hid_t to, const std::string& what) {
  for (const std::string& name : attribute_names(from)) {
    const Attribute attribute(from, name);
    if (attribute.holds(H5T_REFERENCE)) {
      throw Error(fmt::format(
          "{}: '{}' refers to other objects of its file, which a copy cannot; delete it first, for example "
          "with h5py",
          what, name));
    }
    const AttributeBytes values(attribute);
    const Hdf5Handle copy(check_hdf5(H5Acreate2(to, name.c_str(), attribute.type(), attribute.space(),
                                                H5P_DEFAULT, H5P_DEFAULT),
                                     what),
                          H5Aclose);
    if (attribute.count() > 0)
      check_hdf5(H5Awrite(copy.get(), attribute.type(), values.bytes().data()), what);
  }
}

void require_equal_attributes(hid_t original, hid_t copy, const std::string& what) {
  for (const std::string& name : attribute_names(original)) {
    if (!exists(copy, name) || !are_equal(Attribute(original, name), Attribute(copy, name), what))
      throw Error(fmt::format("{}: the attribute '{}' of the copy differs", what, name));
  }
}

void write_attribute(hid_t object, const std::string& name, const std::vector<double>& values) {
  const hsize_t count = values.size();
  Hdf5Handle space(check_hdf5(H5Screate_simple(1, &count, nullptr), "cannot write '" + name + "'"), H5Sclose);
  write_raw(object, name, H5T_NATIVE_DOUBLE, space.get(), values.data());
}

void write_attribute(hid_t object, const std::string& name, long long value) {
  Hdf5Handle space(check_hdf5(H5Screate(H5S_SCALAR), "cannot write '" + name + "'"), H5Sclose);
  write_raw(object, name, H5T_NATIVE_LLONG, space.get(), &value);
}

void write_attribute(hid_t object, const std::string& name, const std::string& text) {
  Hdf5Handle space(check_hdf5(H5Screate(H5S_SCALAR), "cannot write '" + name + "'"), H5Sclose);
  const std::string what = "cannot write '" + name + "'";
  Hdf5Handle type(check_hdf5(H5Tcopy(H5T_C_S1), what), H5Tclose);
  check_hdf5(H5Tset_size(type.get(), std::max<std::size_t>(text.size(), 1)), what);
  check_hdf5(H5Tset_cset(type.get(), H5T_CSET_UTF8), what);
  check_hdf5(H5Tset_strpad(type.get(), H5T_STR_NULLPAD), what);
  const std::string padded = text.empty() ? std::string(1, '\0') : text;
  write_raw(object, name, type.get(), space.get(), padded.data());
}

void write_variable_text(hid_t object, const std::string& name, const std::string& text) {
  Hdf5Handle space(check_hdf5(H5Screate(H5S_SCALAR), "cannot write '" + name + "'"), H5Sclose);
  const std::string what = "cannot write '" + name + "'";
  Hdf5Handle type(check_hdf5(H5Tcopy(H5T_C_S1), what), H5Tclose);
  check_hdf5(H5Tset_size(type.get(), H5T_VARIABLE), what);
  check_hdf5(H5Tset_cset(type.get(), H5T_CSET_UTF8), what);
  const char* characters = text.c_str();
  write_raw(object, name, type.get(), space.get(), &characters);
}

}  // namespace tessera
