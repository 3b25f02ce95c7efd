#pragma once

namespace tessera {

/// The text of slurm/job.bash as it was when this program was built.
const char* job_bash();

}  // namespace tessera
