#pragma once

#include "io/volume/volume_store.h"

namespace tessera {

/// HDF5 as a store of volumes. One thread per process makes HDF5 calls; writers make none.
const VolumeStore& hdf5_store();

}  // namespace tessera
