//! Indents JSON text without touching its numbers: an amount keeps its eight digits, and names keep their order.

/// `json`, which must be valid, with line breaks and an indentation of two, as `bitcoin-cli` prints it.
pub(super) fn indented(json: &str) -> String {
    let mut out = String::with_capacity(json.len() * 2);
    let mut depth = 0;
    let mut in_string = false;
    let mut escaped = false;
    let break_line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n(' ', depth * 2));
    };
    for c in json.chars() {
        if in_string {
            out.push(c);
            in_string = escaped || c != '"';
            escaped = !escaped && c == '\\';
            continue;
        }
        match c {
            '"' => {
                in_string = true;
                out.push(c);
            }
            '{' | '[' => {
                depth += 1;
                out.push(c);
                break_line(&mut out, depth);
            }
            '}' | ']' => {
                depth -= 1;
                // An empty list has nothing on its line.
                out.truncate(out.trim_end().len());
                break_line(&mut out, depth);
                out.push(c);
            }
            ',' => {
                out.push(c);
                break_line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            _ if c.is_whitespace() => {}
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::indented;

    #[test]
    fn numbers_and_order_are_kept() {
        let text = r#"{"z":0.00001000,"a":[1,{"b":"x\"],"}],"e":[]}"#;
        let wanted = "{\n  \"z\": 0.00001000,\n  \"a\": [\n    1,\n    {\n      \"b\": \"x\\\"],\"\n    }\n  ],\n  \"e\": [\n  ]\n}";
        assert_eq!(indented(text), wanted);
    }

    #[test]
    fn strings_are_kept_with_their_escapes() {
        assert_eq!(indented(r#""a\\" "#), r#""a\\""#);
        assert_eq!(indented("5"), "5");
    }
}
