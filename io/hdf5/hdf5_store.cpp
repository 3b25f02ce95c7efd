#include "io/hdf5/hdf5_store.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "io/hdf5/hdf5_handle.h"
#include "io/hdf5/hdf5_tree.h"
#include "io/hdf5/output_volume.h"
#include "io/hdf5/volume_reader.h"

namespace tessera {
namespace {

class Hdf5Store final : public VolumeStore {
 public:
  std::string name() const override { return "HDF5"; }

  bool has_extension(const std::string& extension) const override {
    static constexpr std::array<std::string_view, 4> known{".h5", ".hdf5", ".hdf", ".he5"};
    return std::find(known.begin(), known.end(), extension) != known.end();
  }

  bool has_format(const std::filesystem::path& file) const override { return is_hdf5_file(file); }

  std::unique_ptr<Volume> open(const DatasetName& name, const ReadOptions& options,
                               ReadAs read_as) const override {
    return std::make_unique<VolumeReader>(name, options, read_as);
  }

  std::unique_ptr<DatasetTree> open_tree(const std::filesystem::path& file) const override {
    return std::make_unique<Hdf5Tree>(file);
  }

  OutputLayout create_output(const OutputVolumeSpec& spec) const override { return create_hdf5_output(spec); }

  OutputLayout read_output_layout(const DatasetName& name) const override {
    return read_hdf5_output_layout(name);
  }

  std::unique_ptr<VolumeWriter> open_writer(const DatasetName& name,
                                            const OutputLayout& layout) const override {
    return std::make_unique<BlockWriter>(name.file, layout);
  }
};

}  // namespace

const VolumeStore& hdf5_store() {
  static const Hdf5Store store;
  return store;
}

}  // namespace tessera
