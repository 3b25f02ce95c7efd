#pragma once

#include "io/volume/output_layout.h"
#include "pipeline/segment/id_volume.h"
#include "pipeline/segment/planned_start.h"

namespace tessera {

/// On the root. Locks and examines the existing volume of objects, if any. The plan has the blocks of an
/// earlier start afterwards, where this one goes on. Errors: UsageError for a file that must not be replaced;
/// Error.
IdVolume find_objects(PlannedStart& planned);

/// What a new volume of objects is like.
OutputVolumeSpec objects_spec(const PlannedStart& planned);

}  // namespace tessera
