#pragma once

#include <optional>

#include "io/volume/output_layout.h"
#include "pipeline/segment/id_volume.h"
#include "pipeline/segment/planned_start.h"

namespace tessera {

/// On the root. Locks and examines the existing volume of objects, if any. The plan has the blocks of an
/// earlier start afterwards, where this one goes on. Errors: UsageError for a file that must not be replaced;
/// Error.
IdVolume find_objects(PlannedStart& planned);

/// On the root, after find_objects(). Likewise the volume of supervoxels, if the plan has one. It stays where
/// nothing that it depends on has changed, unless this start begins anew.
std::optional<IdVolume> find_supervoxels(const PlannedStart& planned);

/// What new volumes of objects and of supervoxels are like.
OutputVolumeSpec objects_spec(const PlannedStart& planned);
OutputVolumeSpec supervoxels_spec(const PlannedStart& planned);

}  // namespace tessera
