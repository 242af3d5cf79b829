#include <catch2/catch.hpp>
#include <cmath>
#include <limits>

#include "data/csv.h"
#include "engine/file.h"
#include "tests/support/error_of.h"
#include "tests/support/temp_dir.h"

namespace flowsmith::core {
namespace {

using Catch::Contains;
using Values = std::vector<double>;

Table table_of(const std::string& text) {
  TempDir dir;
  return read_csv(dir.write("a.csv", text));
}

std::string complaint_of(const std::string& text) {
  TempDir dir;
  dir.write("bad.csv", text);
  const std::string message = error_of([&] { read_csv(dir.file("bad.csv")); });
  CHECK_THAT(message, Contains("bad.csv"));
  return message;
}

TEST_CASE("tables are read whatever parts their columns", "[csv]") {
  const Values expected = {1, -2.5, 3e2, 0.25, 0, 7};
  for (const std::string text : {
           "1,-2.5,3e2\n.25,0,7\n",                                // commas
           "1,-2.5,3e2\n.25,0,7",                                  // no end of line
           "1;-2.5;+300\r\n.25;-0;7.0\r\n\r\n \r\n",               // semicolons, CRLF, blank lines at the end
           "1 -2.5 300\n0.25 0 7\n",                               // blanks
           "  1\t-2.5  \t 300 \n0.25\t0\t7\n\n\n",                 // many blanks
           "1 , -2.5,\t300\n0.25,0 ,7\n",                          // blanks around commas
           "x,y,z\n1,-2.5,300\n0.25,0,7\n",                        // a header
           "# x;y;z with, anything\n1,-2.5,300\n0.25,0,7\n",       // a header with other separators
           "\"feature 1\" \"feature 2\"\n1 -2.5 300\n0.25 0 7\n",  // a header in quotes
           "\xef\xbb\xbf"
           "1,-2.5,300\n0.25,0,7\n",  // a byte order mark
       }) {
    INFO(text);
    const Table table = table_of(text);
    CHECK(table.rows == 2);
    CHECK(table.columns == 3);
    CHECK(table.values == expected);
  }
  CHECK(table_of("3\n4\n").columns == 1);
  std::string wide = "1";
  for (int i = 1; i < 1024; ++i) wide += ",1";
  CHECK(table_of(wide).columns == 1024);
  CHECK_THAT(complaint_of(wide + ",1\n"), Contains("line 1") && Contains("more than 1024 columns"));
}

TEST_CASE("tables that are not of numbers are refused by line and column", "[csv]") {
  CHECK_THAT(complaint_of("1,2\n3,4x\n"), Contains("line 2, column 2") && Contains("'4x' is not a number"));
  CHECK_THAT(complaint_of("a,b\n1,2\nc,d\n"), Contains("line 3, column 1") && Contains("'c'"));
  CHECK_THAT(complaint_of("1,two\n3,4\n"), Contains("line 1, column 2") && Contains("'two'"));
  CHECK_THAT(complaint_of("1,\"2\"\n"), Contains("is not a number"));
  CHECK_THAT(complaint_of("0x10,2\n"), Contains("line 1, column 1"));
  CHECK_THAT(complaint_of("+-1,2\n"), Contains("line 1, column 1"));
  CHECK_THAT(complaint_of("1,,2\n"), Contains("line 1, column 2 is empty"));
  CHECK_THAT(complaint_of("1,2,\n"), Contains("line 1, column 3 is empty"));
  CHECK_THAT(complaint_of("1,2\n3,4,5\n"), Contains("line 2 has 3 columns and the first row 2"));
  CHECK_THAT(complaint_of("a b\n1 2\n3\n"), Contains("line 3 has 1 columns"));
  CHECK_THAT(complaint_of("1,2\n\n3,4\n"), Contains("line 2 is blank"));
  CHECK_THAT(complaint_of("1,5;2,5\n"), Contains("line 1 mixes separators") && Contains("point"));
  CHECK_THAT(complaint_of("1,2\n3;4\n"), Contains("line 2 mixes separators"));
  CHECK_THAT(complaint_of("nan,1\n"), Contains("line 1, column 1: 'nan' is not finite"));
  CHECK_THAT(complaint_of("1,2\n1,-inf\n"), Contains("line 2, column 2: '-inf' is not finite"));
  CHECK_THAT(complaint_of("1,1e999\n"), Contains("beyond the range"));
  CHECK_THAT(complaint_of(""), Contains("no row"));
  CHECK_THAT(complaint_of("\n\n"), Contains("no row"));
  CHECK_THAT(complaint_of("x,y\n"), Contains("no row"));
  CHECK_THAT(complaint_of(std::string("1,\0", 3) + "2\n"), Contains("line 1, column 2"));
  CHECK_THAT(complaint_of(std::string(1000, 'x') + "\n" + std::string(1000, 'y')), Contains("yyy...'"));
}

TEST_CASE("numbers that we write are the same when we read them", "[csv]") {
  TempDir dir;
  const Values values = {0.1, -0.0, 1.0 / 3, 1e300, -5e-324, std::numeric_limits<double>::max(), 3, 123456789};
  write_csv(dir.file("a.csv"), values, 4);
  CHECK(read_text_file(dir.file("a.csv"), 1000) ==
        "0.1,-0,0.3333333333333333,1e+300\n-5e-324,1.7976931348623157e+308,3,123456789\n");
  const Table table = read_csv(dir.file("a.csv"));
  CHECK(table.rows == 2);
  CHECK(table.values == values);
  CHECK(std::signbit(table.values[1]));
  write_csv(dir.file("empty.csv"), {}, 2);
  CHECK(read_text_file(dir.file("empty.csv"), 1).empty());
  CHECK_THAT(error_of([&] { write_csv(dir.file("b.csv"), values, 3); }), Contains("b.csv") && Contains("whole rows"));
  CHECK_THAT(error_of([&] { write_csv(dir.file("none/b.csv"), values, 4); }), Contains("none/b.csv"));
}

}  // namespace
}  // namespace flowsmith::core
