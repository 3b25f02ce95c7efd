#pragma once

#include "pipeline/segment/first_pass.h"
#include "pipeline/segment/planned_start.h"
#include "pipeline/segment/segmentation_passes.h"
#include "pipeline/segment/segmentation_record.h"
#include "workers/segment/segment_job.h"

namespace tessera {

/// Collective. The step between the passes: leaves the tables of objects of all blocks, and those of
/// supervoxels where the plan has a volume of them, by the merges of the
/// graph, by a cut of an earlier start's tree, or by the choice of a threshold. Does the first pass where
/// blocks lack it. Nothing is computed where an earlier start has finished the step. On the root `objects` is
/// the job of the result, and `folder` that of the first pass; elsewhere they are empty and null. Errors, on
/// every rank: UsageError, StoppedEarly, AgreedError; those of the first pass.
void make_object_tables(const PlannedStart& planned, const SegmentJob& job, const JobDescription& objects,
                        FirstPassFolder* folder, SegmentationPasses& passes, SegmentationRecord& record);

}  // namespace tessera
