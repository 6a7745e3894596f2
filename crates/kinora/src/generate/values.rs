//! Values as people type them; each is refused here if no clip could be made with it.

use std::path::PathBuf;

use kinora_media::FrameRate;

/// Sides of a clip, in pixels.
pub(crate) const SIDES: std::ops::RangeInclusive<u32> = 64..=4096;

/// A picture and when it is seen.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Keyframe {
    pub(crate) secs: f64,
    pub(crate) picture: PathBuf,
}

/// `SECONDS=FILE`.
pub(crate) fn keyframe(text: &str) -> Result<Keyframe, String> {
    let (secs, picture) = text
        .split_once('=')
        .filter(|(_, picture)| !picture.is_empty())
        .ok_or_else(|| {
            format!("'{text}' is no keyframe: write a time and a picture, such as 2.5=mid.png")
        })?;
    Ok(Keyframe {
        secs: time(secs)?,
        picture: picture.into(),
    })
}

/// A time in a clip.
pub(crate) fn time(text: &str) -> Result<f64, String> {
    number(text, 0.0, 86_400.0, "time", "seconds")
}

/// How much of what is given is made anew.
pub(crate) fn strength(text: &str) -> Result<f32, String> {
    number(text, 0.05, 1.0, "strength", "").map(|value| value as f32)
}

/// A prompt that says something.
pub(crate) fn prompt(text: &str) -> Result<String, String> {
    match negative(text)? {
        text if text.is_empty() => Err(
            "the prompt is empty: say what is to be seen, such as \"a koala waves on a beach\""
                .into(),
        ),
        text => Ok(text),
    }
}

/// A prompt that may be empty.
pub(crate) fn negative(text: &str) -> Result<String, String> {
    let text = text.trim();
    match text.chars().find(|c| c.is_control()) {
        Some(c) => Err(format!(
            "it holds the control character {}: write it as one line of plain text",
            c.escape_default()
        )),
        None => Ok(text.to_owned()),
    }
}

/// `WxH`.
pub(crate) fn size(text: &str) -> Result<[u32; 2], String> {
    let wrong = || format!("'{text}' is no size: write width x height in pixels, such as 704x384");
    let (width, height) = text.split_once(['x', 'X', '×']).ok_or_else(wrong)?;
    let side = |digits: &str| digits.trim().parse::<u32>().map_err(|_| wrong());
    let size = [side(width)?, side(height)?];
    if let Some(side) = size.into_iter().find(|side| !SIDES.contains(side)) {
        return Err(format!(
            "a side of {side} is out of range: sides go from {} to {} pixels",
            SIDES.start(),
            SIDES.end()
        ));
    }
    if let Some(side) = size.into_iter().find(|side| side % 2 == 1) {
        return Err(format!(
            "a side of {side} is odd, and video needs even sides: use {} or {}",
            side - 1,
            side + 1
        ));
    }
    Ok(size)
}

/// `W:H`.
pub(crate) fn aspect(text: &str) -> Result<[u32; 2], String> {
    let wrong = || format!("'{text}' is no shape: write width:height, such as 16:9, 1:1 or 3:4");
    let (width, height) = text.split_once(':').ok_or_else(wrong)?;
    let side = |digits: &str| digits.trim().parse::<u32>().map_err(|_| wrong());
    let [width, height] = [side(width)?, side(height)?];
    if !(1..=100).contains(&width) || !(1..=100).contains(&height) {
        return Err(wrong());
    }
    if width > 4 * height || height > 4 * width {
        return Err(format!(
            "a shape of {width}:{height} is out of range: shapes go from 1:4 to 4:1"
        ));
    }
    Ok([width, height])
}

/// Length of a clip.
pub(crate) fn seconds(text: &str) -> Result<f64, String> {
    number(text, 0.1, 600.0, "length", "seconds")
}

/// Time between two savings.
pub(crate) fn interval(text: &str) -> Result<f64, String> {
    number(text, 0.0, 86_400.0, "time", "seconds")
}

/// Length of a clip, or none.
pub(crate) fn drift(text: &str) -> Result<f64, String> {
    number(text, 0.0, 600.0, "length", "seconds")
}

/// Strength of guidance.
pub(crate) fn guidance(text: &str) -> Result<f32, String> {
    number(text, 0.0, 30.0, "guidance", "").map(|value| value as f32)
}

/// Noise level below which nothing guides.
pub(crate) fn guidance_above(text: &str) -> Result<f32, String> {
    number(text, 0.0, 1.0, "noise level", "").map(|value| value as f32)
}

/// How far a step may be from the one that serves for it.
pub(crate) fn step_cache(text: &str) -> Result<f32, String> {
    number(text, 0.0, 10.0, "threshold", "").map(|value| value as f32)
}

/// Shift of the sampler's noise levels.
pub(crate) fn shift(text: &str) -> Result<f32, String> {
    number(text, 0.1, 100.0, "shift", "").map(|value| value as f32)
}

/// Steps of the sampler.
pub(crate) fn steps(text: &str) -> Result<usize, String> {
    whole(text, 1, 200, "number of steps")
}

/// Threads.
pub(crate) fn threads(text: &str) -> Result<usize, String> {
    whole(text, 1, 1024, "number of threads")
}

/// Frames per second.
pub(crate) fn frame_rate(text: &str) -> Result<FrameRate, String> {
    let rate: FrameRate = text
        .parse()
        .map_err(|error: kinora_media::Error| error.to_string())?;
    if (1.0..=120.0).contains(&rate.as_f64()) {
        Ok(rate)
    } else {
        Err(format!(
            "a rate of {rate} is out of range: it goes from 1 to 120 frames per second"
        ))
    }
}

fn number(text: &str, min: f64, max: f64, what: &str, unit: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if (min..=max).contains(&value) => Ok(value),
        Ok(value) => Err(format!(
            "a {what} of {value} is out of range: it goes from {min} to {max} {unit}"
        )
        .trim_end()
        .into()),
        Err(_) => Err(
            format!("'{text}' is no number: the {what} goes from {min} to {max} {unit}")
                .trim_end()
                .into(),
        ),
    }
}

fn whole(text: &str, min: usize, max: usize, what: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(value) if (min..=max).contains(&value) => Ok(value),
        _ => Err(format!("the {what} is a whole number from {min} to {max}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_or_refused_with_the_reason() {
        assert_eq!(size("704x384"), Ok([704, 384]));
        assert_eq!(size("64 X 4096"), Ok([64, 4096]));
        assert_eq!(size("256×256"), Ok([256, 256]));
        for (text, reason) in [
            ("", "such as 704x384"),
            ("704", "such as 704x384"),
            ("704x", "such as 704x384"),
            ("-704x384", "such as 704x384"),
            ("0x0", "from 64 to 4096"),
            ("62x64", "from 64 to 4096"),
            ("64x4098", "from 64 to 4096"),
            ("255x144", "use 254 or 256"),
        ] {
            let error = size(text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn shapes_are_read_or_refused_with_the_reason() {
        assert_eq!(aspect("16:9"), Ok([16, 9]));
        for text in ["", "16", "16:", "0:1", "16/9", "1000:999", "-1:1"] {
            assert!(aspect(text).unwrap_err().contains("such as 16:9"), "{text}");
        }
        assert!(aspect("9:2").unwrap_err().contains("1:4 to 4:1"));
    }

    #[test]
    fn keyframes_are_a_time_and_a_picture() {
        let read = keyframe("2.5=a=b.png").unwrap();
        assert_eq!((read.secs, read.picture), (2.5, "a=b.png".into()));
        for text in ["mid.png", "2.5=", "=mid.png", "-1=mid.png", "nan=mid.png"] {
            assert!(keyframe(text).is_err(), "{text}");
        }
    }

    #[test]
    fn prompts_are_trimmed_and_must_say_something() {
        assert_eq!(prompt("  a fox\n"), Ok("a fox".into()));
        assert!(prompt("   ").unwrap_err().contains("empty"));
        assert!(
            prompt("a\u{1b}[31mfox")
                .unwrap_err()
                .contains("control character")
        );
        assert_eq!(negative(""), Ok(String::new()));
    }

    #[test]
    fn numbers_out_of_range_are_refused() {
        assert_eq!(seconds("0.1"), Ok(0.1));
        for text in ["0", "-1", "601", "nan", "inf", "1e400", "four", ""] {
            assert!(
                seconds(text).unwrap_err().contains("0.1 to 600 seconds"),
                "{text}"
            );
        }
        assert_eq!(guidance("0"), Ok(0.0));
        assert!(guidance("NaN").is_err() && guidance("31").is_err());
        assert!(strength("0").is_err() && strength("1.1").is_err() && strength("1").is_ok());
        assert!(steps("0").is_err() && steps("201").is_err() && steps("2.5").is_err());
        assert_eq!(frame_rate("23.976").unwrap().to_string(), "24000/1001");
        for text in ["0", "0.5", "121", "-3", "fast"] {
            assert!(frame_rate(text).is_err(), "{text}");
        }
    }
}
