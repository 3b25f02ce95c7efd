#include "io/volume/block_journal.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <ctime>
#include <new>
#include <nlohmann/json.hpp>
#include <set>
#include <string_view>
#include <utility>

#include "io/base/crc32c.h"
#include "io/base/error.h"
#include "io/base/file_bytes.h"
#include "io/base/json_text.h"
#include "io/base/sha256.h"
#include "io/base/staged_file.h"
#include "io/base/temporary_name.h"
#include "io/base/thread_group.h"

namespace tessera {
namespace {

constexpr std::string_view kMagic = "TSRJRNL1";
constexpr std::uint32_t kRecordMagic = 0x4b4c4254;  // "TBLK"
constexpr std::uint32_t kStart = 0x100;             // a kind of record, besides the outcomes of blocks
constexpr std::size_t kFrontBytes = 16;             // magic, format version, size of the JSON
constexpr std::size_t kLongestJson = std::size_t{16} << 20;

/// A record as in the file, little-endian like every supported machine. The CRC covers the fields before it
/// and continues the head's CRC, so that no record of another journal is valid in this one.
struct StoredRecord {
  std::uint32_t magic = kRecordMagic;
  std::uint32_t kind = 0;  ///< a BlockOutcome, or kStart
  std::int64_t block = 0;  ///< or, for kStart, seconds since 1970
  std::uint32_t payload_crc = 0;
  std::uint32_t reserved = 0;
  std::uint32_t number = 0;  ///< its place in the file, modulo 2^32
  std::uint32_t crc = 0;
};
static_assert(sizeof(StoredRecord) == 32);
constexpr std::int64_t kRecordBytes = sizeof(StoredRecord);

std::uint32_t crc_of(const StoredRecord& record, std::uint32_t seed) {
  return crc32c(std::as_bytes(std::span(&record, 1)).first(offsetof(StoredRecord, crc)), seed);
}

nlohmann::json json_of(const Index3& index) {
  return {index.z, index.y, index.x};
}
/// Errors: Error unless it has three whole numbers.
Index3 index_from(const nlohmann::json& head, const char* key) {
  const nlohmann::json& list = head.at(key);
  const auto is_whole = [](const nlohmann::json& one) {
    return one.is_number_integer() && (!one.is_number_unsigned() || one.get<std::uint64_t>() >> 62 == 0);
  };
  if (!list.is_array() || list.size() != 3 || !std::ranges::all_of(list, is_whole))
    throw Error(fmt::format("{} is not three whole numbers", key));
  return {list[0].get<std::int64_t>(), list[1].get<std::int64_t>(), list[2].get<std::int64_t>()};
}

/// A description with texts that are UTF-8, and back: paths may have any bytes.
JobDescription as_utf8(const JobDescription& job) {
  JobDescription texts;
  for (const auto& [key, value] : job)
    texts[utf8_text(key)] = utf8_text(value);
  return texts;
}
JobDescription from_utf8(const JobDescription& texts) {
  JobDescription job;
  for (const auto& [key, value] : texts)
    job[bytes_of_utf8_text(key)] = bytes_of_utf8_text(value);
  return job;
}

/// Reads the JSON of a head. Errors: Error, nlohmann's.
JournalHead head_from(std::string_view text) {
  const auto json = parse_json<nlohmann::json>(text);
  if (!json.is_object()) throw Error("it is no JSON object, or one that is nested too deep");
  JournalHead head;
  head.instance = json.at("instance").get<std::string>();
  const bool is_hex = head.instance.find_first_not_of("0123456789abcdef") == std::string::npos;
  if (head.instance.size() != 32 || !is_hex) throw Error("its instance is not 32 hexadecimal digits");
  head.job = from_utf8(json.at("job").get<JobDescription>());
  if (json.at("job_sha256").get<std::string>() != digest_of(head.job))
    throw Error("the checksum of its job does not match");
  const Box region{index_from(json, "region_begin"), index_from(json, "region_end")};
  const Index3 block_shape = index_from(json, "block_shape");
  const std::string problem = BlockPlan::problem_of(region, block_shape);
  if (!problem.empty()) throw Error(problem);
  head.blocks = BlockPlan::of_region(region, block_shape);
  return head;
}

/// The bytes of the head: front, JSON, spaces up to a multiple of the record size, the CRC of all that.
std::vector<std::byte> head_bytes(const JournalHead& head) {
  // The block plan must be here: `tessera verify` finds the blocks by nothing else.
  std::string text = nlohmann::json{{"instance", head.instance},
                                    {"job_sha256", digest_of(head.job)},
                                    {"job", as_utf8(head.job)},
                                    {"region_begin", json_of(head.blocks.region().begin)},
                                    {"region_end", json_of(head.blocks.region().end)},
                                    {"block_shape", json_of(head.blocks.block_shape())}}
                         .dump(1);
  const std::size_t whole = kFrontBytes + text.size() + sizeof(std::uint32_t);
  const auto rounded = static_cast<std::size_t>(round_up(static_cast<std::int64_t>(whole), kRecordBytes));
  text.append(rounded - whole, ' ');
  std::vector<std::byte> bytes(rounded);
  const std::uint32_t version = 1;
  const auto size = static_cast<std::uint32_t>(text.size());
  std::memcpy(bytes.data(), kMagic.data(), kMagic.size());
  std::memcpy(bytes.data() + 8, &version, sizeof version);
  std::memcpy(bytes.data() + 12, &size, sizeof size);
  std::memcpy(bytes.data() + kFrontBytes, text.data(), text.size());
  const std::uint32_t crc = crc32c(std::span(bytes).first(rounded - sizeof crc));
  std::memcpy(bytes.data() + rounded - sizeof crc, &crc, sizeof crc);
  return bytes;
}

std::uint32_t seed_of(std::span<const std::byte> head) {
  std::uint32_t crc = 0;
  std::memcpy(&crc, head.data() + head.size() - sizeof crc, sizeof crc);
  return crc;
}

StoredRecord start_record(std::int64_t number) {
  StoredRecord record;
  record.kind = kStart;
  record.block = static_cast<std::int64_t>(std::time(nullptr));
  record.number = static_cast<std::uint32_t>(number);
  return record;
}

StoredRecord stored(const JournalRecord& block, std::int64_t number) {
  StoredRecord record;
  record.kind = static_cast<std::uint32_t>(block.outcome);
  record.block = block.block;
  record.payload_crc = block.crc;
  record.number = static_cast<std::uint32_t>(number);
  return record;
}

void append_to(std::vector<std::byte>& bytes, StoredRecord record, std::uint32_t seed) {
  record.crc = crc_of(record, seed);
  const auto added = std::as_bytes(std::span(&record, 1));
  bytes.insert(bytes.end(), added.begin(), added.end());
}

/// The head's size in bytes. Errors: Error.
std::size_t parse_head(std::span<const std::byte> bytes, const std::filesystem::path& file,
                       JournalHead& head) {
  const auto damaged = [&](const std::string& why) {
    return Error(fmt::format(
        "{} is no journal, or its head is damaged ({}): move it away to predict every block again, or "
        "pass --restart",
        file.string(), why));
  };
  if (bytes.size() < kFrontBytes || std::memcmp(bytes.data(), kMagic.data(), kMagic.size()) != 0) {
    throw damaged("it does not begin as one");
  }
  std::uint32_t version = 0, size = 0, crc = 0;
  std::memcpy(&version, bytes.data() + 8, sizeof version);
  std::memcpy(&size, bytes.data() + 12, sizeof size);
  const std::size_t whole = kFrontBytes + size + sizeof crc;
  if (size > kLongestJson || whole > bytes.size()) throw damaged("it is cut short");
  std::memcpy(&crc, bytes.data() + whole - sizeof crc, sizeof crc);
  if (crc32c(bytes.first(whole - sizeof crc)) != crc) throw damaged("its checksum is wrong");
  if (version != 1)
    throw Error(fmt::format("{} has format {}; this tessera reads format 1", file.string(), version));
  try {
    head = head_from({reinterpret_cast<const char*>(bytes.data()) + kFrontBytes, size});
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& error) {
    throw damaged(error.what());
  }
  return whole;
}

/// The journal's name for a file's own name: see journal_of().
std::filesystem::path journal_beside(const std::filesystem::path& result) {
  constexpr std::size_t kLongestName = 255;  // of the file systems
  const std::string name = result.filename().string(), ending = ".journal";
  if (name.size() + ending.size() <= kLongestName) return result.string() + ending;
  constexpr std::size_t kKept = 180, kDigits = 16;
  return result.parent_path() / (name.substr(0, kKept) + "." + sha256_of(name).substr(0, kDigits) + ending);
}

}  // namespace

std::string json_of(const JobDescription& job) {
  return nlohmann::json(as_utf8(job)).dump(1);
}

JobDescription job_from_json(const std::string& text, const std::string& name) {
  try {
    return from_utf8(parse_json<nlohmann::json>(text).get<JobDescription>());
  } catch (const nlohmann::json::exception& error) {
    throw Error(fmt::format("{} does not describe a job of tessera: {}", name, error.what()));
  }
}

std::string digest_of(const JobDescription& job) {
  return sha256_of(nlohmann::json(as_utf8(job)).dump());
}

std::vector<std::string> differences_between(const JobDescription& then, const JobDescription& now,
                                             const JobNotes& then_notes, const JobNotes& now_notes) {
  const auto noted = [](const std::string& value, const std::string& key, const JobNotes& notes) {
    const auto note = notes.find(key);
    return note == notes.end() ? value : fmt::format("{} ({})", value, note->second);
  };
  std::set<std::string> keys;
  for (const auto& [key, value] : then)
    keys.insert(key);
  for (const auto& [key, value] : now)
    keys.insert(key);
  std::vector<std::string> found;
  for (const std::string& key : keys) {
    const auto a = then.find(key), b = now.find(key);
    const std::string before = a == then.end() ? "not said" : a->second,
                      after = b == now.end() ? "not said" : b->second;
    if (before == after) continue;
    found.push_back(fmt::format("{}: {} then, {} now", key, noted(before, key, then_notes),
                                noted(after, key, now_notes)));
  }
  return found;
}

std::filesystem::path journal_of(const std::filesystem::path& result) {
  const std::filesystem::path named = journal_beside(result);
  // Behind a link, the journal is beside the file; but a file that was moved may have left it beside the
  // link.
  const std::filesystem::path real = journal_beside(resolve_links(result));
  return std::filesystem::exists(real) || !std::filesystem::exists(named) ? real : named;
}

std::vector<std::int64_t> JournalContents::unknown_blocks() const {
  std::vector<std::int64_t> unknown;
  auto known = records.begin();
  for (std::int64_t id = 0; id < head.blocks.count(); ++id) {
    while (known != records.end() && known->block < id)
      ++known;
    if (known == records.end() || known->block != id) unknown.push_back(id);
  }
  return unknown;
}

JournalContents read_journal(const std::filesystem::path& file) {
  return parse_journal(read_file_bytes(file), file);
}

JournalContents parse_journal(std::span<const std::byte> bytes, const std::filesystem::path& file) {
  JournalContents contents;
  const std::size_t begin = parse_head(bytes, file, contents.head);
  const std::uint32_t seed = seed_of(bytes.first(begin));
  const std::int64_t count = contents.head.blocks.count();
  std::map<std::int64_t, JournalRecord> known;
  std::int64_t bad = 0, number = 0;
  contents.good_bytes = static_cast<std::int64_t>(begin);
  for (std::size_t at = begin; at + kRecordBytes <= bytes.size(); at += kRecordBytes, ++number) {
    StoredRecord record;
    std::memcpy(&record, bytes.data() + at, sizeof record);
    const bool is_start = record.kind == kStart;
    const bool is_block = (record.kind == static_cast<std::uint32_t>(BlockOutcome::done) ||
                           record.kind == static_cast<std::uint32_t>(BlockOutcome::skipped)) &&
                          record.block >= 0 && record.block < count;
    const bool good = record.magic == kRecordMagic && record.crc == crc_of(record, seed) &&
                      record.number == static_cast<std::uint32_t>(number) && (is_start || is_block);
    if (!good) {
      ++bad;
      continue;
    }
    contents.damaged += std::exchange(bad, 0);  // a valid one behind them: no interrupted append
    contents.good_bytes = static_cast<std::int64_t>(at) + kRecordBytes;
    if (is_start) {
      ++contents.starts;
    } else {
      known[record.block] = {record.block, static_cast<BlockOutcome>(record.kind), record.payload_crc};
    }
  }
  contents.torn_bytes = static_cast<std::int64_t>(bytes.size()) - contents.good_bytes;
  for (const auto& [id, record] : known)
    contents.records.push_back(record);
  return contents;
}

void write_journal(const std::filesystem::path& file, const JournalHead& head,
                   const std::vector<JournalRecord>& records, std::int64_t starts) {
  std::vector<std::byte> bytes = head_bytes(head);
  const std::uint32_t seed = seed_of(bytes);
  std::int64_t number = 0;
  for (std::int64_t i = 0; i < starts; ++i)
    append_to(bytes, start_record(number++), seed);
  for (const JournalRecord& record : records)
    append_to(bytes, stored(record, number++), seed);
  replace_file(file, bytes);
}

FileDescriptor lock_journal(const std::filesystem::path& file) {
  FileDescriptor opened(file, O_RDWR);
  if (::flock(opened.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    throw UsageError(fmt::format("{} is in use: another tessera is working on this result", file.string()));
  }
  return opened;
}

BlockJournal::BlockJournal(const std::filesystem::path& file, const JournalContents& contents)
    : path_(file), file_(lock_journal(file)), end_(contents.good_bytes) {
  const std::vector<std::byte> head = head_bytes(contents.head);
  seed_ = seed_of(head);
  if (::ftruncate(file_.get(), end_) != 0) {
    throw Error(fmt::format("cannot cut {}: {}", path_.string(), errno_text(errno)));
  }
  // Reserves space for every record, if the file system can: a full disk is found before the work.
  const std::int64_t room = (contents.blocks_left() + 16) * kRecordBytes;
  if (::fallocate(file_.get(), FALLOC_FL_KEEP_SIZE, end_, room) != 0 &&
      (errno == ENOSPC || errno == EDQUOT || errno == EFBIG)) {
    throw WholeJobError(
        fmt::format("cannot reserve {} for {}: {}", bytes_text(room), path_.string(), errno_text(errno)));
  }
  head_bytes_ = static_cast<std::int64_t>(head.size());
  std::vector<std::byte> start;
  append_to(start, start_record((end_ - head_bytes_) / kRecordBytes), seed_);
  append_bytes(start);
  committer_ = start_thread("to commit the journal", [this] { commit_periodically(); });
}

BlockJournal::~BlockJournal() {
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
    changed_.notify_all();
  }
  if (committer_.joinable()) committer_.join();
}

void BlockJournal::append_bytes(const std::vector<std::byte>& bytes) {
  const std::unique_lock lock(mutex_);
  if (failure_) std::rethrow_exception(failure_);
  write_fully(file_.get(), bytes, end_, path_);
  end_ += static_cast<std::int64_t>(bytes.size());
  dirty_ = true;
  changed_.notify_all();
}

void BlockJournal::append(const JournalRecord& record) {
  std::vector<std::byte> bytes;
  append_to(bytes, stored(record, (end_ - head_bytes_) / kRecordBytes), seed_);
  append_bytes(bytes);
}

void BlockJournal::commit() {
  std::unique_lock lock(mutex_);
  hurry_ = true;
  changed_.notify_all();
  changed_.wait(lock, [this] { return (!dirty_ && !syncing_) || failure_; });
  hurry_ = false;
  if (failure_) std::rethrow_exception(failure_);
}

void BlockJournal::commit_periodically() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return dirty_ || closing_; });
    if (!dirty_) return;
    changed_.wait_for(lock, std::chrono::duration<double>(kCommitEvery_s),
                      [this] { return hurry_ || closing_; });
    dirty_ = false;
    syncing_ = true;
    lock.unlock();
    std::exception_ptr failed;
    try {
      sync_data(file_.get(), path_);
    } catch (...) {
      failed = std::current_exception();
    }
    lock.lock();
    syncing_ = false;
    failure_ = failed;
    changed_.notify_all();
    if (failure_) return;
  }
}

}  // namespace tessera
