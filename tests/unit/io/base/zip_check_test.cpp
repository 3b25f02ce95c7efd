#include "io/base/zip_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <cstdint>
#include <string>
#include <vector>

#include "tests/unit/error_message.h"

namespace tessera {
namespace {

using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::HasSubstr;
using testing::message_of;

/// Writes zip archives as the format's specification describes them. LibTorch's have sizes behind the data,
/// padding in an extra field, 64-bit end records, and zeros in the fields that no reader uses.
class ZipWriter {
 public:
  explicit ZipWriter(bool as_libtorch) : as_libtorch_(as_libtorch) {}

  void add(const std::string& name, const std::string& data, bool deflated = false) {
    const std::string stored = deflated ? raw_deflate(data) : data;
    const auto crc =
        static_cast<std::uint32_t>(crc32_z(0, reinterpret_cast<const Bytef*>(data.data()), data.size()));
    const auto at = static_cast<std::uint32_t>(file_.size());
    std::string common;  // from the version to the date
    put(common, 2, deflated ? 20 : 0);
    put(common, 2, as_libtorch_ ? 0x0808 : 0);
    put(common, 2, deflated ? 8 : 0);
    put(common, 4, as_libtorch_ ? 0 : 0x52215F4A);
    std::string sizes;
    for (const std::uint64_t one :
         {std::uint64_t{crc}, std::uint64_t{stored.size()}, std::uint64_t{data.size()}})
      put(sizes, 4, one);
    const std::string extra = as_libtorch_ ? std::string("FB\x06\0ZZZZZZ", 10) : "";
    put(file_, 4, 0x04034b50);
    file_ += common + (as_libtorch_ ? std::string(12, '\0') : sizes);
    put(file_, 2, name.size());
    put(file_, 2, extra.size());
    file_ += name + extra + stored;
    if (as_libtorch_) {
      put(file_, 4, 0x08074b50);
      file_ += sizes;
    }
    put(directory_, 4, 0x02014b50);
    put(directory_, 2, as_libtorch_ ? 0 : 0x031E);
    directory_ += common + sizes;
    put(directory_, 2, name.size());
    put(directory_, 4, 0);  // no extra field, no comment
    put(directory_, 4, 0);  // first disk, internal attributes
    put(directory_, 4, as_libtorch_ ? 0 : 0x81A40000);
    put(directory_, 4, at);
    directory_ += name;
    ++entries_;
  }

  std::string take(const std::string& comment = "") {
    const std::size_t begin = file_.size();
    std::string whole = file_ + directory_;
    const std::size_t end = whole.size();
    if (as_libtorch_) {
      put(whole, 4, 0x06064b50);
      put(whole, 8, 44);
      put(whole, 2, 0x031E);
      put(whole, 2, 45);
      put(whole, 8, 0);
      put(whole, 8, entries_);
      put(whole, 8, entries_);
      put(whole, 8, directory_.size());
      put(whole, 8, begin);
      put(whole, 4, 0x07064b50);
      put(whole, 4, 0);
      put(whole, 8, end);
      put(whole, 4, 1);
    }
    put(whole, 4, 0x06054b50);
    put(whole, 4, 0);
    put(whole, 2, entries_);
    put(whole, 2, entries_);
    put(whole, 4, directory_.size());
    put(whole, 4, begin);
    put(whole, 2, comment.size());
    return whole + comment;
  }

 private:
  static void put(std::string& to, int bytes, std::uint64_t value) {
    for (int i = 0; i < bytes; ++i)
      to += static_cast<char>(value >> (8 * i) & 0xFF);
  }

  static std::string raw_deflate(const std::string& data) {
    z_stream stream{};
    EXPECT_EQ(deflateInit2(&stream, 6, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
    std::string out(data.size() + 100, '\0');
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(data.data()));
    stream.avail_in = static_cast<uInt>(data.size());
    stream.next_out = reinterpret_cast<Bytef*>(out.data());
    stream.avail_out = static_cast<uInt>(out.size());
    EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
    out.resize(stream.total_out);
    deflateEnd(&stream);
    return out;
  }

  bool as_libtorch_;
  std::string file_, directory_;
  std::uint64_t entries_ = 0;
};

std::string message_for(const std::string& zip) {
  return message_of([&] { require_intact_zip(std::as_bytes(std::span(zip)), "n.pt"); });
}

std::string archive(bool as_libtorch) {
  ZipWriter writer(as_libtorch);
  writer.add("n/data/0", "weights of a network");
  writer.add("n/code/forward.py", std::string(700, 'x') + "def forward(self, x): return x", true);
  writer.add("n/empty", "");
  writer.add("n/version", "3\n");
  return writer.take();
}

TEST(ZipCheck, IntactArchivesPass) {
  EXPECT_EQ(message_for(archive(true)), "no error");
  EXPECT_EQ(message_for(archive(false)), "no error");
  ZipWriter commented(false);
  commented.add("a", "1");
  EXPECT_EQ(message_for(commented.take("a comment")), "no error");
  EXPECT_EQ(message_for(ZipWriter(true).take()), "no error");
}

TEST(ZipCheck, AnyFlippedBitOfAnArchiveOfLibTorchIsNoticed) {
  const std::string good = archive(true);
  const std::size_t deflated = good.find("n/code/forward.py") + 27,
                    deflated_end = good.find("PK\x07\x08", deflated);
  int without_effect = 0;
  for (std::size_t at = 0; at < good.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string damaged = good;
      damaged[at] = static_cast<char>(damaged[at] ^ 1 << bit);
      if (at >= deflated && at < deflated_end && message_for(damaged) == "no error") {
        ++without_effect;  // a bit that no decompressed byte depends on, such as those behind the last code
        continue;
      }
      ASSERT_THAT(message_for(damaged), AllOf(HasSubstr("n.pt is"), HasSubstr("damaged")))
          << "bit " << bit << " of byte " << at;
    }
  }
  EXPECT_LE(without_effect, 8);
}

TEST(ZipCheck, AnyFlippedBitOfTheDataOfOtherArchivesIsNoticed) {
  const std::string good = archive(false);
  const std::size_t data = good.find("weights");
  ASSERT_NE(data, std::string::npos);
  for (std::size_t at = data; at < data + 20; ++at) {
    std::string damaged = good;
    damaged[at] = static_cast<char>(damaged[at] ^ 4);
    EXPECT_THAT(message_for(damaged), AllOf(HasSubstr("'n/data/0'"), HasSubstr("checksum")));
  }
}

TEST(ZipCheck, TheEntryIsNamed) {
  std::string zip = archive(true);
  zip[zip.find("weights")] = 'W';
  EXPECT_THAT(message_for(zip), AllOf(HasSubstr("n.pt"), HasSubstr("'n/data/0'"), HasSubstr("checksum")));
}

TEST(ZipCheck, TruncatedAndForeignFilesAreErrors) {
  const std::string good = archive(true);
  for (std::size_t size = 0; size < good.size(); ++size)
    ASSERT_THAT(message_for(good.substr(0, size)), HasSubstr("damaged")) << size << " bytes";
  EXPECT_THAT(message_for(good + "x"), HasSubstr("damaged"));
  EXPECT_THAT(message_for("x" + good), HasSubstr("damaged"));
  EXPECT_THAT(message_for("no archive"), HasSubstr("no TorchScript file"));
}

TEST(ZipCheck, AnEntryInflatesToNoMoreThanItsSize) {
  ZipWriter writer(true);
  writer.add("bomb", std::string(4 << 20, '\0'), true);
  std::string zip = writer.take();
  EXPECT_EQ(message_for(zip), "no error");
  const std::string size("\0\0\x40\0", 4);  // 4 MiB becomes 1 KiB, in the descriptor and the directory
  for (std::size_t at = zip.find(size); at != std::string::npos; at = zip.find(size, at + 1))
    zip.replace(at, 4, std::string("\0\4\0\0", 4));
  EXPECT_THAT(message_for(zip), AllOf(HasSubstr("'bomb'"), HasSubstr("compressed data")));
}

TEST(ZipCheck, TwoEntriesOfOneNameAreAnError) {
  ZipWriter writer(true);
  writer.add("n/data/0", "a");
  writer.add("n/data/0", "b");
  EXPECT_THAT(message_for(writer.take()), AllOf(HasSubstr("'n/data/0'"), HasSubstr("twice")));
}

}  // namespace
}  // namespace tessera
