#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "io/base/sha256.h"
#include "io/geometry/block_plan.h"
#include "io/stores/open_volume.h"
#include "workers/segment/block_graph_builder.h"
#include "workers/segment/graph_stage.h"
#include "workers/segment/relabelling.h"

namespace tessera::testing {

/// A case of tests/golden/segmentation/expected.json, which the oracle reference.py made.
struct GoldenCase {
  std::string name;
  VoxelBuffer values;
  std::optional<VoxelBuffer> mask;
  BlockGraphOptions block;
  MergeOptions merge;
  std::int32_t background_below = 0;
  nlohmann::json expected;
};

inline VoxelBuffer golden_volume(const std::string& golden, const std::string& volume,
                                 const std::string& stored) {
  if (volume == "constant" || volume == "zero") {
    VoxelBuffer values(VoxelType::uint8, {8, 9, 10});
    std::ranges::fill(values.bytes, static_cast<std::byte>(volume == "zero" ? 0 : 200));
    return values;
  }
  const auto opened =
      open_volume(DatasetName{golden + "/" + volume + ".h5", "/volumes/predictions/interior"});
  VoxelBuffer values = opened->read(Box::of_shape(opened->info().shape));
  if (stored == "four levels") {
    for (std::uint8_t& one : values.as<std::uint8_t>())
      one = static_cast<std::uint8_t>(one / 64 * 64);
  }
  if (stored.starts_with("float")) {
    VoxelBuffer floats(VoxelType::float32, values.shape);
    std::ranges::transform(std::as_const(values).as<std::uint8_t>(), floats.as<float>().begin(),
                           [](std::uint8_t one) { return static_cast<float>(one) / 255.0f; });
    return floats;
  }
  return values;
}

inline MergeOptions golden_merges(const nlohmann::json& p) {
  MergeOptions merge;
  const bool sections = p.at("mode") == "sections";
  bool linked = false;
  const auto link = [&] {
    if (sections && !linked) merge.stages.push_back({MergeStage::Kind::link});
    linked = true;
  };
  for (const double threshold : p.at("thresholds")) {
    if (threshold < p.at("link_below").get<double>()) link();
    merge.stages.push_back(threshold_stage(threshold));
  }
  link();
  merge.small_size = p.at("small_size");
  if (merge.small_size > 0)
    merge.stages.push_back({MergeStage::Kind::small, score_of_probability(p.at("small_threshold"))});
  merge.link_millionths = std::llround(p.at("link_jaccard").get<double>() * 1e6);
  merge.link_mutual = p.at("link_mutual");
  merge.min_size = p.at("min_size");
  return merge;
}

/// A case of the golden data in folder `golden`. `one`: its entry in a file of expectations.
inline GoldenCase golden_case(const std::string& golden, const std::string& name, const nlohmann::json& one) {
  GoldenCase made;
  made.name = name;
  made.expected = one;
  made.values = golden_volume(golden, one.at("volume"), one.at("stored"));
  if (one.at("masked")) {
    const auto mask =
        open_labels(DatasetName{golden + "/" + one.at("volume").get<std::string>() + ".h5", "/volumes/mask"});
    made.mask = mask->read(Box::of_shape(mask->info().shape));
  }
  const nlohmann::json& p = one.at("parameters");
  made.block.mode = p.at("mode") == "sections" ? SegmentMode::sections : SegmentMode::volume;
  made.block.saturated = weight_of_probability(p.at("saturated"));
  made.block.fragment_size = p.at("fragment_size");
  made.block.fragment_floor = weight_of_probability(p.at("fragment_floor"));
  made.block.smoothing = one.value("smoothing", 0);
  made.background_below = weight_of_probability(p.at("background_below"));
  made.merge = golden_merges(p);
  return made;
}

/// Every case of the golden data in folder `golden`.
inline std::vector<GoldenCase> golden_cases(const std::string& golden) {
  std::ifstream file(golden + "/expected.json");
  const auto json = nlohmann::json::parse(file);
  std::vector<GoldenCase> cases;
  for (const auto& [name, one] : json.at("cases").items()) {
    cases.push_back(golden_case(golden, name, one));
  }
  return cases;
}

/// The cases of expected_quantiles.json, which quantiles.py made, once for each linkage. Without the volume
/// that only a formula gives.
inline std::vector<GoldenCase> quantile_cases(const std::string& golden) {
  std::ifstream file(golden + "/expected_quantiles.json");
  const auto json = nlohmann::json::parse(file);
  std::vector<GoldenCase> cases;
  for (const auto& [name, one] : json.items()) {
    if (one.at("volume") == "made") continue;
    for (const auto& [linkage, expected] : one.at("linkages").items()) {
      cases.push_back(golden_case(golden, name, one));
      cases.back().merge.linkage = *value_named<MergeLinkage>(linkage);
      cases.back().block.histograms = rule_of(cases.back().merge.linkage).linkage == Linkage::quantile;
      cases.back().name += " " + linkage;
      cases.back().expected.update(expected);
    }
  }
  return cases;
}

/// A part of a buffer.
inline VoxelBuffer cut_out(const VoxelBuffer& whole, const Box& box) {
  VoxelBuffer part(whole.type, box.shape(), whole.channels);
  const auto width = static_cast<std::size_t>(size_of(whole.type));
  std::byte* to = part.bytes.data();
  for (std::int64_t channel = 0; channel < whole.channels; ++channel) {
    for (std::int64_t z = box.begin.z; z < box.end.z; ++z) {
      for (std::int64_t y = box.begin.y; y < box.end.y; ++y) {
        const auto row = static_cast<std::size_t>(box.shape().x) * width;
        const std::int64_t from =
            channel * volume_of(whole.shape) + linear_index({z, y, box.begin.x}, whole.shape);
        std::memcpy(to, whole.bytes.data() + static_cast<std::size_t>(from) * width, row);
        to += row;
      }
    }
  }
  return part;
}

/// affinities_of() of affinities.py.
inline VoxelBuffer golden_affinities(const VoxelBuffer& probability, std::int64_t divisor) {
  const Index3 shape = probability.shape;
  VoxelBuffer made(VoxelType::uint8, shape, 3);
  const auto from = probability.as<std::uint8_t>();
  auto to = made.as<std::uint8_t>().begin();
  for (int axis = 0; axis < 3; ++axis) {
    for (std::int64_t z = 0; z < shape.z; ++z) {
      for (std::int64_t y = 0; y < shape.y; ++y) {
        for (std::int64_t x = 0; x < shape.x; ++x, ++to) {
          Index3 before{z, y, x};
          before[axis] = std::max<std::int64_t>(before[axis] - 1, 0);
          const std::int64_t lower = std::min(from[static_cast<std::size_t>(linear_index({z, y, x}, shape))],
                                              from[static_cast<std::size_t>(linear_index(before, shape))]);
          const std::int64_t noise = (3 * z + 5 * y + 7 * x + 11 * axis) % 23;
          *to = static_cast<std::uint8_t>(std::max<std::int64_t>(lower - noise, 0) / divisor * divisor);
        }
      }
    }
  }
  return made;
}

/// The cases of expected_affinities.json, which affinities.py made.
inline std::vector<GoldenCase> affinity_cases(const std::string& golden) {
  std::ifstream file(golden + "/expected_affinities.json");
  const auto json = nlohmann::json::parse(file);
  std::vector<GoldenCase> cases;
  for (const auto& [name, one] : json.items()) {
    GoldenCase made = golden_case(golden, name, one);
    made.values = golden_affinities(made.values, one.at("divisor"));
    made.merge.linkage = *value_named<MergeLinkage>(one.at("linkage").get<std::string>());
    made.block.histograms = rule_of(made.merge.linkage).linkage == Linkage::quantile;
    made.block.affinities = AffinityChannels{{0, 1, 2}, {-1, -1, -1}};
    cases.push_back(std::move(made));
  }
  return cases;
}

/// A segmentation, on every rank.
struct Segmented {
  std::vector<std::uint64_t> labels, fragments;
  std::vector<std::array<std::int64_t, 3>> tree;       ///< name, into, stage; ordered by name
  std::vector<std::array<std::uint64_t, 5>> linkages;  ///< name, into, stage, sum, count; likewise
  std::size_t blocks = 0;

  friend bool operator==(const Segmented& x, const Segmented& y) {
    return x.labels == y.labels && x.fragments == y.fragments && x.linkages == y.linkages;
  }
};

template <class T>
std::string sha256_of(const std::vector<T>& values) {
  return Sha256().add(std::as_bytes(std::span(values))).hex();
}

/// Collective: every rank's rows on every rank.
template <class Row>
std::vector<Row> rows_of_all(const Communicator& world, const std::vector<Row>& rows) {
  const auto* bytes = reinterpret_cast<const char*>(rows.data());
  std::vector<Row> all;
  for (const std::string& one : world.all_gather(std::string(bytes, rows.size() * sizeof(Row)))) {
    std::vector<Row> more(one.size() / sizeof(Row));
    if (!more.empty()) std::memcpy(more.data(), one.data(), one.size());
    all.insert(all.end(), more.begin(), more.end());
  }
  return all;
}

/// Collective. Segments a volume by blocks of this shape. Every rank computes all blocks, and hands in the
/// rows of its share.
inline Segmented segment_by_blocks(const GoldenCase& one, const Index3& block_shape,
                                   const Communicator& world, std::int64_t gather_rows) {
  const Index3 shape = one.values.shape;
  const BlockPlan plan(shape, block_shape);
  Segmented made;
  made.blocks = static_cast<std::size_t>(plan.count());
  std::vector<BlockWeights> weights;
  std::vector<BlockPieces> pieces;
  std::vector<BlockGraph> graphs;
  for (std::int64_t id = 0; id < plan.count(); ++id) {
    const Box box = plan.block(id), read = box_to_read(box, shape, one.block);
    const std::optional<VoxelBuffer> mask = one.mask ? std::optional(cut_out(*one.mask, read)) : std::nullopt;
    weights.push_back(
        block_weights(cut_out(one.values, read), mask ? &*mask : nullptr, box, shape, {}, one.block));
    pieces.push_back(find_basin_pieces(weights.back(), one.block));
    graphs.push_back(build_block_graph(weights.back(), pieces.back(), one.block));
  }
  GraphRows rows;
  for (std::size_t id = 0; id < graphs.size(); ++id) {
    if (id * 7 % static_cast<std::size_t>(world.size()) != static_cast<std::size_t>(world.rank())) continue;
    add_block_rows(graphs[id], rows);
    for (std::size_t other = 0; other < graphs.size(); ++other) {
      for (int axis = 0; axis < 3; ++axis) {
        Box behind = graphs[id].box;
        behind.begin[axis] = graphs[id].box.end[axis];
        if (graphs[other].box.begin != behind.begin) continue;
        add_face_rows({*graphs[id].faces[static_cast<std::size_t>(2 * axis + 1)], graphs[id].name},
                      {*graphs[other].faces[static_cast<std::size_t>(2 * axis)], graphs[other].name},
                      graphs[other].box, axis, shape, one.block, rows);
      }
    }
  }
  const GraphResult result =
      merge_graph(std::move(rows), one.block, one.merge, {.gather_rows = gather_rows}, world);
  const auto voxels = static_cast<std::uint64_t>(volume_of(shape));
  const ObjectIds ids(result, one.merge, voxels, world);
  GraphResult before = result;
  before.objects = before.fragments;
  std::erase_if(before.merges, [](const MergeRow& row) { return row.stage > kFragmentStage; });
  const ObjectIds fragment_ids(before, {}, voxels, world);
  made.labels.resize(voxels);
  made.fragments.resize(voxels);
  for (std::size_t id = 0; id < graphs.size(); ++id) {
    const auto of_cluster = ids.ids_of(graphs[id].name), fragment_of = fragment_ids.ids_of(graphs[id].name);
    std::vector<std::uint64_t> of_piece, fragment_of_piece;
    for (const std::uint32_t cluster : graphs[id].cluster_of_piece) {
      of_piece.push_back(of_cluster[cluster]);
      fragment_of_piece.push_back(fragment_of[cluster]);
    }
    const VoxelBuffer labels = relabelled_block(graphs[id].box, pieces[id], of_piece, &weights[id],
                                                one.background_below, VoxelType::uint64);
    const VoxelBuffer fragments =
        relabelled_block(graphs[id].box, pieces[id], fragment_of_piece, nullptr, 0, VoxelType::uint64);
    const Box box = graphs[id].box;
    std::size_t at = 0;
    for (std::int64_t z = box.begin.z; z < box.end.z; ++z) {
      for (std::int64_t y = box.begin.y; y < box.end.y; ++y) {
        for (std::int64_t x = box.begin.x; x < box.end.x; ++x, ++at) {
          const auto to = static_cast<std::size_t>(linear_index({z, y, x}, shape));
          made.labels[to] = labels.as<std::uint64_t>()[at];
          made.fragments[to] = fragments.as<std::uint64_t>()[at];
        }
      }
    }
  }
  for (const MergeRow& row : rows_of_all(world, result.merges)) {
    if (row.stage <= kFragmentStage) continue;
    made.tree.push_back(
        {static_cast<std::int64_t>(row.name), static_cast<std::int64_t>(row.into), row.stage});
    made.linkages.push_back({row.name, row.into, static_cast<std::uint64_t>(row.stage), row.sum, row.count});
  }
  std::sort(made.linkages.begin(), made.linkages.end());
  std::sort(made.tree.begin(), made.tree.end());
  return made;
}

/// A golden case with greedy merges.
inline GoldenCase greedy_case(const std::string& golden, const std::string& name, MergeLinkage linkage) {
  std::vector<GoldenCase> cases = golden_cases(golden);
  GoldenCase one = *std::ranges::find(cases, name, &GoldenCase::name);
  one.merge.linkage = linkage;
  one.block.histograms = rule_of(linkage).linkage == Linkage::quantile;
  return one;
}

/// Collective. Compares a segmentation with the golden SHA-256 sums.
inline void expect_golden(const GoldenCase& one, const Segmented& found, const std::string& where) {
  EXPECT_EQ(sha256_of(found.fragments), one.expected.at("fragments_sha256").get<std::string>()) << where;
  EXPECT_EQ(sha256_of(found.tree), one.expected.at("tree_sha256").get<std::string>()) << where;
  EXPECT_EQ(sha256_of(found.labels), one.expected.at("labels_sha256").get<std::string>()) << where;
}

/// The same of greedy merges, with the linkage of each.
inline void expect_golden_greedy(const GoldenCase& one, const Segmented& found, const std::string& where) {
  EXPECT_EQ(found.linkages.size(), one.expected.at("merges").get<std::size_t>()) << where;
  EXPECT_EQ(sha256_of(found.fragments), one.expected.at("fragments_sha256").get<std::string>()) << where;
  EXPECT_EQ(sha256_of(found.linkages), one.expected.at("tree_sha256").get<std::string>()) << where;
  EXPECT_EQ(sha256_of(found.labels), one.expected.at("labels_sha256").get<std::string>()) << where;
}

}  // namespace tessera::testing
