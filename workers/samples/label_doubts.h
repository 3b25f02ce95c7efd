#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "io/geometry/box.h"
#include "workers/samples/label_fit.h"
#include "workers/samples/section_look.h"
#include "workers/samples/training_data.h"

namespace tessera {

/// Looks at training sections of one volume for signs that the raw volume or its labels are not what the
/// options say: blank sections, inverted labels, labels that lie elsewhere, labels with more values than
/// classes.
class LabelDoubts {
 public:
  /// `options` must outlive this.
  explicit LabelDoubts(const TrainingDataOptions& options) : options_(options) {}

  /// The sections to look at, ascending.
  std::vector<std::int64_t> sections() const {
    return spread_sections(options_.sections.begin, options_.sections.end);
  }
  /// One of sections(). `raw`: its voxels; `classes`: of the same box, uint8, as label_classes().
  void add(std::int64_t z, const VoxelBuffer& raw, const VoxelBuffer& classes);

  /// A sentence for each sign. `ids`: first_ids() of the labels.
  std::vector<std::string> texts(const std::vector<LabelId>& ids) const;

 private:
  const TrainingDataOptions& options_;
  std::vector<SectionGrey> greys_;
  ZeroLook zero_;
  LabelFit fit_;
  std::size_t with_pieces_ = 0;  ///< sections whose pieces are counted
};

/// "0, 1, 255" of ascending ids, or the first six of them and "...".
std::string label_ids_text(const std::vector<LabelId>& ids);

/// Errors: UsageError when raw voxels and labels of one section look exchanged.
void require_not_exchanged(const VoxelBuffer& labels, const DatasetName& labels_name, const VoxelBuffer& raw,
                           const DatasetName& raw_name);

}  // namespace tessera
