#include "agent/core/options.h"

#include <doctest/doctest.h>

using namespace weir;

namespace {

std::string message_of(const Result<int64_t>& result) { return result ? "" : result.error().message; }
std::string message_of(const Result<OptionValue>& result) { return result ? "" : result.error().message; }

}  // namespace

TEST_CASE("sizes are integers with a unit, thousands or 1024, and bytes without one") {
  CHECK(parse_bytes("0") == 0);
  CHECK(parse_bytes("17") == 17);
  CHECK(parse_bytes("17B") == 17);
  CHECK(parse_bytes("3KB") == 3000);
  CHECK(parse_bytes("3KiB") == 3072);
  CHECK(parse_bytes("64MiB") == 64 << 20);
  CHECK(parse_bytes("64MB") == 64'000'000);
  CHECK(parse_bytes("2GB") == 2'000'000'000);
  CHECK(parse_bytes("4GiB") == 4LL << 30);
}

TEST_CASE("a size that is none says what to write") {
  CHECK(message_of(parse_bytes("")) == "\"\" is not a size: write a whole number such as 64MiB");
  CHECK(message_of(parse_bytes("-1")) == "\"-1\" is not a size: write a whole number such as 64MiB");
  CHECK(message_of(parse_bytes("1.5GiB")) ==
        "\"1.5GiB\" is not a size: fractions are not taken, write a whole number such as 64MiB");
  CHECK(message_of(parse_bytes("64mb")) ==
        "\"64mb\" has a unit that is not known: write B, KB, MB, GB (thousands) or KiB, MiB, GiB (1024)");
  CHECK_FALSE(parse_bytes("64 MiB"));
  CHECK(message_of(parse_bytes("9223372036854775807GiB")) == "\"9223372036854775807GiB\" is too large");
  CHECK(message_of(parse_bytes("9223372036854775808")) == "\"9223372036854775808\" is too large");
}

TEST_CASE("durations need a unit, except zero") {
  CHECK(parse_duration_ns("0") == 0);
  CHECK(parse_duration_ns("5ns") == 5);
  CHECK(parse_duration_ns("5us") == 5000);
  CHECK(parse_duration_ns("250ms") == 250'000'000);
  CHECK(parse_duration_ns("1s") == 1'000'000'000);
  CHECK(parse_duration_ns("10m") == 600'000'000'000);
  CHECK(parse_duration_ns("24h") == 86'400'000'000'000);
  CHECK(parse_duration_ns("2d") == 2 * 86'400'000'000'000);
  CHECK(message_of(parse_duration_ns("250")) == "needs a unit: write 250ms or 250s");
  CHECK(message_of(parse_duration_ns("5sec")) ==
        "\"5sec\" has a unit that is not known: write ns, us, ms, s, m, h or d");
  CHECK(message_of(parse_duration_ns("200000d")) == "\"200000d\" is too large");
}

TEST_CASE("sizes and durations are written with the largest unit that leaves nothing over") {
  CHECK(format_bytes(0) == "0");
  CHECK(format_bytes(64 << 20) == "64MiB");
  CHECK(format_bytes(64'000'000) == "64MB");
  CHECK(format_bytes(1000) == "1KB");
  CHECK(format_bytes(1024) == "1KiB");
  CHECK(format_bytes(1025) == "1025B");
  CHECK(format_duration_ns(0) == "0");
  CHECK(format_duration_ns(86'400'000'000'000) == "1d");
  CHECK(format_duration_ns(90'000'000'000) == "90s");
  CHECK(format_duration_ns(1'500'000) == "1500us");
  for (int64_t value : {1LL, 999LL, 1024LL, 1'000'000LL, 3LL << 30, 123'456'789LL}) {
    CHECK(parse_bytes(format_bytes(value)) == value);
    CHECK(parse_duration_ns(format_duration_ns(value)) == value);
  }
}

TEST_CASE("each type of option takes its own form and refuses others with a remedy") {
  const Option flag{.name = "f", .type = OptionType::boolean};
  CHECK(parse_option(flag, "true") == OptionValue(true));
  CHECK(message_of(parse_option(flag, "yes")) == "must be true or false, not \"yes\"");

  const Option number{.name = "n", .type = OptionType::integer, .min = 1, .max = 9};
  CHECK(parse_option(number, "7") == OptionValue(int64_t{7}));
  CHECK(message_of(parse_option(number, "0")) == "must be at least 1, not 0");
  CHECK(message_of(parse_option(number, "10")) == "must be at most 9, not 10");
  CHECK(message_of(parse_option(number, "07")) == "must not begin with 0: write 7");
  CHECK(message_of(parse_option(number, "7x")) == "must be a whole number, not \"7x\"");
  CHECK(message_of(parse_option(number, "null")) == "must be a whole number, not \"null\"");

  const Option size{.name = "s", .type = OptionType::bytes, .min = 1 << 20};
  CHECK(message_of(parse_option(size, "1KiB")) == "must be at least 1MiB, not 1KiB");

  const Option mode{.name = "m", .type = OptionType::file_mode};
  CHECK(parse_option(mode, "0640") == OptionValue(int64_t{0640}));
  CHECK(parse_option(mode, "640") == OptionValue(int64_t{0640}));
  CHECK(message_of(parse_option(mode, "0888")) == "must be a file mode in octal such as 0640, not \"0888\"");
  CHECK_FALSE(parse_option(mode, "-040"));
  CHECK_FALSE(parse_option(mode, "1777"));

  const Option choice{.name = "c", .type = OptionType::choice, .choices = {"auto", "line", "batch"}};
  CHECK(parse_option(choice, "line") == OptionValue(std::string("line")));
  CHECK(message_of(parse_option(choice, "lines")) == "must be auto, line or batch, not \"lines\"");

  const Option path{.name = "p", .type = OptionType::path};
  CHECK(message_of(parse_option(path, "")) == "must be a path, not empty");
  CHECK_FALSE(parse_option(path, std::string_view("a\0b", 3)));

  const Option list{.name = "l", .type = OptionType::string_list};
  CHECK(parse_option(list, "[a, 'b c', \"d\"]") == OptionValue(std::vector<std::string>{"a", "b c", "d"}));
  CHECK(parse_option(list, "[]") == OptionValue(std::vector<std::string>{}));
}

TEST_CASE("null is a value only where the option says so") {
  const Option option{.name = "n", .type = OptionType::integer, .nullable = true};
  CHECK(parse_option(option, "null") == OptionValue(std::monostate{}));
}

TEST_CASE("the defaults of a table are read from their text, and null where there is none") {
  const OptionTable table{{.name = "path", .type = OptionType::path, .required = true},
                          {.name = "size", .type = OptionType::bytes, .default_text = "64KiB"},
                          {.name = "every", .type = OptionType::integer, .nullable = true},
                          {.name = "names", .type = OptionType::string_list},
                          {.name = "mode", .type = OptionType::file_mode, .default_text = "0640"}};
  const Settings settings = default_settings(table);
  CHECK(settings.null("path"));
  CHECK(settings.integer("size") == 65536);
  CHECK(settings.null("every"));
  CHECK(settings.list("names").empty());
  CHECK(settings.integer("mode") == 0640);
}

TEST_CASE("a value is written as weir's YAML would read it") {
  CHECK(format_option({.name = "s", .type = OptionType::bytes}, int64_t{65536}) == "64KiB");
  CHECK(format_option({.name = "d", .type = OptionType::duration}, int64_t{250'000'000}) == "250ms");
  CHECK(format_option({.name = "m", .type = OptionType::file_mode}, int64_t{0640}) == "0640");
  CHECK(format_option({.name = "b", .type = OptionType::boolean}, true) == "true");
  CHECK(format_option({.name = "n", .nullable = true}, std::monostate{}) == "null");
  CHECK(format_option({.name = "l", .type = OptionType::string_list}, std::vector<std::string>{"a", "b c"}) ==
        "[a, \"b c\"]");
}

TEST_CASE("a string is quoted where plain text would be something else") {
  CHECK(format_yaml_string("/var/log/weir/trace.jsonl") == "/var/log/weir/trace.jsonl");
  CHECK(format_yaml_string("run_id") == "run_id");
  for (const char* special :
       {"null", "True", "no", "12", "1e3", "0x10", ".inf", "~", "", "a: b", "a #b", "[a]", "*x"})
    CHECK(format_yaml_string(special) == "\"" + std::string(special) + "\"");
  CHECK(format_yaml_string("a$b") == "\"a$$b\"");
  CHECK(format_yaml_string("a\"b\\c\n\t\x01") == "\"a\\\"b\\\\c\\n\\t\\x01\"");
}

TEST_CASE("did you mean: the nearest word within a third of the length, swaps count once") {
  const std::vector<std::string_view> known{"path", "format", "write_mode", "flush_every_n"};
  CHECK(did_you_mean("pahts", known) == "");
  CHECK(did_you_mean("paht", known) == "path");
  CHECK(did_you_mean("formt", known) == "format");
  CHECK(did_you_mean("Write-Mode", known) == "write_mode");
  CHECK(did_you_mean("flush_evry_m", known) == "flush_every_n");
  CHECK(did_you_mean("xyz", known) == "");
  CHECK(did_you_mean("", known) == "");
  CHECK(did_you_mean(std::string(10'000, 'p'), known) == "");
}
