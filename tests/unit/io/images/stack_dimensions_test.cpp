#include "io/images/stack_dimensions.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/base/error.h"

namespace tessera {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

StackDimensions dimensions_of(std::string_view description, std::int64_t samples = 1) {
  return described_dimensions(description, 100 * samples, samples, "own.tif", "own.tif").value();
}

std::string message_for(std::string_view description) {
  try {
    dimensions_of(description);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(StackDimensions, ImageJCountsChannelsFirst) {
  const StackDimensions found = dimensions_of("ImageJ=1.53t\nimages=30\nchannels=2\nslices=5\nframes=3\n");
  EXPECT_EQ(found.planes(), 30);
  EXPECT_EQ(found.plane(1, 0, 0), 1);
  EXPECT_EQ(found.plane(0, 1, 0), 2);
  EXPECT_EQ(found.plane(0, 0, 1), 10);
  EXPECT_EQ(dimensions_of("ImageJ=1\nimages=7\nmin=0\n").sections, 7);
  EXPECT_EQ(dimensions_of("ImageJ=1\nimages=4\nchannels=3\nslices=4\n", 3).channels, 1)
      << "samples of a pixel";
  EXPECT_EQ(dimensions_of("ImageJ=1\nimages=6\nchannels=2\nslices=3\norder=zct\n").plane(1, 0, 0), 3);
  EXPECT_THAT(message_for("ImageJ=1\nimages=7\nchannels=2\nslices=3\n"),
              HasSubstr("7 images, but 2 channels"));
  EXPECT_THAT(message_for("ImageJ=1\nimages=-7\n"), HasSubstr("images=-7"));
  EXPECT_THAT(dimensions_of("ImageJ=1\nimages=2\nslices=2\nc0=-32768\nc1=1\n").note,
              HasSubstr("c0 = -32768"));
}

TEST(StackDimensions, TifffilesShapeAndAxes) {
  EXPECT_EQ(dimensions_of(R"({"shape": [4, 10, 10]})").sections, 4);
  const StackDimensions four = dimensions_of(R"({"shape": [2, 5, 10, 10]})");
  EXPECT_EQ(four.channels, 2);
  EXPECT_EQ(four.plane(1, 0, 0), 5);
  const StackDimensions named = dimensions_of(R"({"axes": "ZCYX", "shape": [5, 2, 10, 10]})");
  EXPECT_EQ(named.channels, 2);
  EXPECT_EQ(named.plane(1, 0, 0), 1);
  EXPECT_EQ(dimensions_of(R"({"axes": "TYX", "shape": [5, 10, 10]})").times, 5);
  EXPECT_THAT(message_for(R"({"axes": "RZYX", "shape": [5, 2, 10, 10]})"), HasSubstr("RZYX"));
  EXPECT_THAT(message_for(R"({"shape": [4, 10, 11]})"), HasSubstr("does not fit"));
  EXPECT_THAT(message_for(R"({"shape": [4, -10, 10]})"), HasSubstr("does not fit"));
  EXPECT_FALSE(described_dimensions("{a text}", 100, 1, "own.tif", "own.tif").has_value());
  EXPECT_FALSE(described_dimensions("a text", 100, 1, "own.tif", "own.tif").has_value());
}

TEST(StackDimensions, OmePlacesPages) {
  const StackDimensions plain = dimensions_of(
      R"(<?xml version="1.0"?><!-- <Pixels SizeC="9"/> --><OME:OME><Image><Pixels DimensionOrder="XYCZT" SizeC="2" SizeZ="3" SizeT="1"><TiffData/></Pixels></Image></OME:OME>)"
      "<OME");
  EXPECT_THAT(plain.pages, ElementsAre(0, 1, 2, 3, 4, 5));
  EXPECT_EQ(plain.plane(1, 0, 0), 1);
  const StackDimensions placed = dimensions_of(
      R"(<OME UUID="u"><Image><Pixels DimensionOrder="XYZCT" SizeC="2" SizeZ="1" SizeT="1">)"
      R"(<TiffData IFD="1" FirstC="0"><UUID FileName="old.tif">u</UUID></TiffData><TiffData IFD="0" FirstC="1"/></Pixels></Image></OME>)");
  EXPECT_THAT(placed.pages, ElementsAre(1, 0));
  const auto wrong = [](const std::string& pixels, const std::string& inside) {
    return message_for("<OME UUID='u'><Image><Pixels " + pixels + ">" + inside + "</Pixels></Image></OME>");
  };
  EXPECT_THAT(wrong("SizeZ='2'", "<TiffData IFD='0'/>"), HasSubstr("no page for plane 1"));
  EXPECT_THAT(wrong("SizeZ='2'", "<TiffData IFD='0'><UUID FileName='b.tif'>v</UUID></TiffData>"),
              HasSubstr("another file (b.tif)"));
  EXPECT_THAT(wrong("SizeZ='x'", ""), HasSubstr("SizeZ=\"x\""));
  EXPECT_THAT(wrong("SizeZ='16777216' SizeT='16777216'", ""), HasSubstr("cannot be"));
  EXPECT_THAT(wrong("DimensionOrder='XYZZT'", ""), HasSubstr("XYZZT"));
  EXPECT_THAT(wrong("", "</Pixels></Image><Image>"), HasSubstr("several OME images"));
  EXPECT_THAT(message_for("<OME><BinaryOnly MetadataFile='a.companion.ome'/></OME>"),
              HasSubstr("a.companion.ome"));
  EXPECT_THAT(message_for("<OME><"), HasSubstr("lacks the element Pixels"));
}

}  // namespace
}  // namespace tessera
