#pragma once

#include <filesystem>

namespace tessera {

/// How two names are exchanged: in one step of the file system, or by two renames where it cannot do that.
enum class NameExchange { one_step, two_renames };

/// Puts the folder `staged`, which lies beside `target`, in the place of `target`, and removes the old folder
/// last. `target` need not exist; its permissions are kept. After a kill at any point one of the two is
/// whole: the old or the new one is at `target`, or mend_replaced_folder() puts it there. Both must have no
/// links at the end of their paths. Errors: Error; the old folder is at `target`.
void replace_folder(const std::filesystem::path& staged, const std::filesystem::path& target,
                    NameExchange how = NameExchange::one_step);

/// Ends what a killed replace_folder() of this target left: the old folder gets its name back when there is
/// no new one, else it is removed. To be called before the target is looked at, by the process that locked
/// it. Errors: Error.
void mend_replaced_folder(const std::filesystem::path& target);

}  // namespace tessera
