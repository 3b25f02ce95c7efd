#include "workers/agglomerate/agglomeration.h"

#include <utility>

#include "workers/agglomerate/greedy_merger.h"
#include "workers/agglomerate/region_owner.h"
#include "workers/mpi/agreement.h"
#include "workers/mpi/all_to_all.h"

namespace tessera {
namespace {

/// One owner on each rank.
class RankExchange : public OwnerExchange {
 public:
  explicit RankExchange(const Communicator& world) : world_(&world) {}
  std::size_t owners() const override { return static_cast<std::size_t>(world_->size()); }
  std::size_t first() const override { return static_cast<std::size_t>(world_->rank()); }
  std::size_t here() const override { return 1; }
  std::vector<OwnerBytes> exchange(std::vector<OwnerBytes> sent) const override {
    return {all_to_all(*world_, std::move(sent[0]))};
  }
  void sum(std::span<std::int64_t> values) const override { world_->sum(values); }

 private:
  const Communicator* world_;
};

}  // namespace

std::vector<GreedyMerge> agglomerate(const RegionGraph& graph, const AgglomerationOptions& options) {
  require_valid_bundles(graph, graph.rows(), options.rule.linkage);
  GreedyMerger merger(first_edges(graph, options.rule), RowRange{}, options);
  merger.run();
  return merger.merges();
}

std::vector<GreedyMerge> agglomerate(const RegionGraph& share, std::uint64_t rows,
                                     const AgglomerationOptions& options, const Communicator& world,
                                     std::int64_t gather_edges) {
  std::vector<ClusterEdges> shares(1);
  on_every_rank(world, [&] {
    require_valid_bundles(share, rows, options.rule.linkage);
    shares[0] = first_edges(share, options.rule);
  });
  const RankExchange exchange(world);
  const OwnerRows owners = OwnerRows::even(static_cast<std::uint32_t>(rows), exchange.owners());
  return std::move(agglomerate_by_owners(shares, owners, options, gather_edges, exchange)[0]);
}

}  // namespace tessera
