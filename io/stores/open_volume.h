#pragma once

#include <filesystem>
#include <memory>
#include <vector>

#include "io/volume/output_layout.h"
#include "io/volume/volume.h"
#include "io/volume/volume_store.h"

namespace tessera {

/// Opens a volume for reading. The store is that of the file's extension, else that of the file's content.
/// Errors: Error when no store has the file's format, or the file or the dataset is missing, unreadable,
/// empty, or of a type or rank that no volume has.
std::unique_ptr<Volume> open_volume(const DatasetName& name, const ReadOptions& options = {});

/// open_volume(name)->info(), with the same errors.
VolumeInfo read_volume_info(const DatasetName& name);

/// Opens labels or a mask for reading, as whole numbers (ReadAs::ids): the type in memory is uint8, uint16,
/// uint32 or uint64, and every id is exact. -1 of signed labels is 2^64 - 1. Errors: as open_volume(); read()
/// fails where floating point holds no whole number.
std::unique_ptr<Volume> open_labels(const DatasetName& name, const ReadOptions& options = {});

/// open_labels(name)->info(), with the same errors.
VolumeInfo read_labels_info(const DatasetName& name);

/// Opens a file to look for datasets in it. Errors: Error.
std::unique_ptr<DatasetTree> open_dataset_tree(const std::filesystem::path& file);

/// Creates a result that several processes write: one process calls it. Every byte is reserved on the disk,
/// and the file appears under its name when it is complete. A result is stored in the format that its name's
/// extension says, HDF5 where it says none. Errors: Error (no space, no permission, ...).
OutputLayout create_output_volume(const OutputVolumeSpec& spec);

/// The layout of a result that create_output_volume() made. Errors: Error when the dataset is no such result.
OutputLayout read_output_layout(const DatasetName& name);

/// A result for writing, with the layout that create_output_volume() or read_output_layout() returned.
/// Errors: Error.
std::unique_ptr<VolumeWriter> open_volume_writer(const DatasetName& name, const OutputLayout& layout);

}  // namespace tessera
