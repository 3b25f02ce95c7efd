#pragma once

namespace tessera {

/// Writes the exit code to the file that TESSERA_END_FILE names, for the job script; does nothing without the
/// variable. Rank 0 calls it for an end that all ranks share: srun's own exit code is the highest of all
/// tasks, and `--kill-on-bad-exit` kills tasks that leave a moment later. A failed write is only a warning.
void tell_job_end(int exit_code);

}  // namespace tessera
