#pragma once

#include <hdf5.h>

#include <string>
#include <vector>

namespace tessera {

/// Checks that a dataset's attributes say nothing that its voxels would be taken for something else: axes in
/// another order than (channel, z, y, x), colours, inverted grey values, values that are scaled. `shape`: of
/// the dataset, 2 to 4 dimensions. Errors: Error with the attribute and what to do.
void require_plain_meaning(hid_t dataset, const std::vector<hsize_t>& shape, const std::string& name);

/// The attribute `resolution`, (z, y, x) in nm; empty when it does not exist. One number stands for all axes.
/// Errors: Error when it is not finite, positive, and of 3 values.
std::vector<double> read_resolution(hid_t dataset, const std::string& name);

/// The attribute `offset`, (z, y, x) in nm; empty when it does not exist. Errors: Error when it is not finite
/// and of 3 values.
std::vector<double> read_offset(hid_t dataset, const std::string& name);

}  // namespace tessera
