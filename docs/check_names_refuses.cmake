# cmake -DWORK=<folder> -P check_names_refuses.cmake: check_names.cmake must accept what exists and name all that does not, each with
# its file and line.
cmake_minimum_required(VERSION 3.25)

# A page of the lines given; what the script says to it goes into `said`, and its exit code into `status`.
function(read_page)
  list(JOIN ARGN "\n" text)
  string(REPLACE "@more" "\\" text "${text}") # at the end of an element it would join it with the next one
  file(WRITE ${WORK}/page.md "${text}\n")
  execute_process(COMMAND ${CMAKE_COMMAND} -DPAGES=${WORK}/page.md -P ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/check_names.cmake
    RESULT_VARIABLE status ERROR_VARIABLE said)
  set(status ${status} PARENT_SCOPE)
  set(said "${said}" PARENT_SCOPE)
endfunction()

read_page("`matmul_bytes`, `forward(ids, probe)`, `file_access::copy`, `std::bad_alloc` and `reference::matmul`"
  "`packed_matrix<dense<float>>`, `workspace scratch(model.forward_bytes(ids.size(), tasks), tasks)`"
  "`kernels/matmul.hpp`, `<bitlens/formats.hpp>`, `tests/io`, `examples/run.sh`, `docs/check_names.cmake`, bitlens/core/error.hpp"
  "`manifest.json`, `examples.csv`, `resid_mid_l0`, `nll_full`, `NDEBUG`, plain text with invented_name"
  "`--methods rtn3-g64`, `bitlens probe --method full`, `docs.quotes`, `fuzz.replay`, `cmake --no-option-of-ours`"
  "```sh" "bitlens study --model PATH" "other --invented" "```" "```cpp" "invented_name();" "```")
if(NOT status EQUAL 0)
  message(SEND_ERROR "what exists was refused: ${said}")
endif()

set(page "") # a line for each
set(expected "")
macro(refuse line name)
  list(APPEND page "${line}")
  list(APPEND expected "${name}")
endmacro()
refuse("with `layer_tensorz` in it" "layer_tensorz: no such name")
refuse("`invented(ids)`" "invented: no such function")
refuse("`model.invented_member`" "invented_member: no such name")
refuse("`workspace::invented_member`" "workspace::invented_member: no such name")
refuse("`file_access::sweep`, which are both there" "file_access::sweep: no such name")
refuse("`packed_matrix<invented_format>`" "invented_format: no such name")
refuse("`kernels/matmull.hpp`" "kernels/matmull.hpp: no such file")
refuse("`<bitlens/invented.hpp>`" "bitlens/invented.hpp: no such file")
refuse("without backticks, bitlens/formats/invented.hpp" "bitlens/formats/invented.hpp: no such header")
refuse("`tests/invented`" "tests/invented: no such file")
refuse("`invented.py`" "invented.py: no such file")
refuse("`summary.csv`" "summary.csv: no such file")
refuse("`--invented`" "--invented: no such option")
refuse("`bitlens perplexity --method rtn3-g64`" "--method: no option of bitlens perplexity")
refuse("`docs.quote`" "docs.quote: no test")
refuse("`invented_norm_l3`" "invented_norm_l3: no such name")
refuse("`over the end" "`: code that goes on")
list(APPEND page "```sh")
list(APPEND expected "")
refuse("build/release/bin/bitlens study --invented @more" "--invented: no option of bitlens study")
refuse("  --also-invented" "--also-invented: no option of bitlens study")
read_page(${page})
if(status EQUAL 0)
  message(SEND_ERROR "what does not exist was accepted")
endif()
set(number 0)
foreach(words IN LISTS expected)
  math(EXPR number "${number} + 1")
  if(NOT words STREQUAL "" AND NOT said MATCHES "page[.]md:${number}: ${words}")
    message(SEND_ERROR "expected \"page.md:${number}: ${words}\" in: ${said}")
  endif()
endforeach()
