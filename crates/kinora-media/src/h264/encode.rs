//! Frames to H.264 by OpenH264.

use openh264::OpenH264API;
use openh264::encoder::{
    BitRate, Complexity, EncoderConfig, FrameRate as EncoderRate, IntraFramePeriod, Level, Profile,
    QpRange, RateControlMode, VuiConfig,
};
use openh264::formats::YUVSlices;

use super::{annex_b_units, unit_type};
use crate::colour::Planes;
use crate::sink::Quality;
use crate::{Error, Frame, FrameRate, Result};

const CODEC: &str = "H.264";

/// The sizes that the encoder takes.
const LIMIT: &str = "sides from 16 pixels up to 3840x2160 or 2160x3840";

/// Seconds between key frames: how precisely a player can jump.
const KEY_FRAME_SECS: f64 = 2.0;

/// How much coarser the quantiser gets when a frame does not fit: about half the bits.
const RELIEF: u8 = 6;

/// Encodes frames one by one. No frame is held back and none is skipped; the same frames give the same bytes.
pub(crate) struct Encoder {
    settings: Settings,
    encoder: openh264::encoder::Encoder,
    quantiser: u8,
    /// Frames for which the quantiser stays coarser than it should be.
    relief_frames: u32,
    planes: Planes,
    stream: Vec<u8>,
}

#[derive(Clone, Copy)]
struct Settings {
    width: u32,
    height: u32,
    fps: FrameRate,
    quality: Quality,
}

/// The encoded form of one frame.
pub(crate) struct AccessUnit<'a> {
    /// Whether decoding can begin here.
    pub(crate) key_frame: bool,
    /// Sequence and picture parameter sets, which come with each key frame.
    pub(crate) parameter_sets: Vec<&'a [u8]>,
    /// The other NAL units, without start codes.
    pub(crate) units: Vec<&'a [u8]>,
}

impl Encoder {
    pub(crate) fn new(width: u32, height: u32, fps: FrameRate, quality: Quality) -> Result<Self> {
        if width % 2 == 1 || height % 2 == 1 {
            return Err(Error::OddSize { width, height });
        }
        let (longer, shorter) = (width.max(height), width.min(height));
        if shorter < 16 || longer > 3840 || shorter > 2160 {
            return Err(Error::SizeLimit {
                format: "MP4",
                width,
                height,
                limit: LIMIT,
            });
        }
        let settings = Settings {
            width,
            height,
            fps,
            quality,
        };
        let quantiser = quantiser(quality);
        Ok(Self {
            settings,
            encoder: settings.start(quantiser)?,
            quantiser,
            relief_frames: 0,
            planes: Planes::new(width, height),
            stream: Vec::new(),
        })
    }

    pub(crate) fn encode(&mut self, frame: &Frame) -> Result<AccessUnit<'_>> {
        self.planes.fill_from(frame)?;
        if self.relief_frames == 1 {
            self.restart(quantiser(self.settings.quality))?;
        }
        self.relief_frames = self.relief_frames.saturating_sub(1);
        // OpenH264 has room for 8 bits a pixel. Noise takes more and ends it, and an untrained model makes noise.
        while let Err(error) = self.encode_planes() {
            if self.quantiser + RELIEF > 51 {
                return Err(error);
            }
            self.restart(self.quantiser + RELIEF)?;
            self.relief_frames = self.settings.key_frame_interval();
        }
        let (parameter_sets, units): (Vec<_>, Vec<_>) = annex_b_units(&self.stream)
            .into_iter()
            .partition(|unit| matches!(unit_type(unit), 7 | 8));
        if units.is_empty() {
            return Err(Error::encoder(CODEC, "it skipped a frame"));
        }
        let key_frame = units.iter().any(|unit| unit_type(unit) == 5);
        Ok(AccessUnit {
            key_frame,
            parameter_sets,
            units,
        })
    }

    fn encode_planes(&mut self) -> Result<()> {
        let Planes { y, u, v, .. } = &self.planes;
        let (width, height) = (self.settings.width as usize, self.settings.height as usize);
        let source = YUVSlices::new((y, u, v), (width, height), (width, width / 2, width / 2));
        let encoded = self
            .encoder
            .encode(&source)
            .map_err(|error| Error::encoder(CODEC, error))?;
        self.stream.clear();
        encoded.write_vec(&mut self.stream);
        Ok(())
    }

    /// Goes on with a key frame.
    fn restart(&mut self, quantiser: u8) -> Result<()> {
        self.encoder = self.settings.start(quantiser)?;
        self.quantiser = quantiser;
        Ok(())
    }
}

impl Settings {
    fn start(self, quantiser: u8) -> Result<openh264::encoder::Encoder> {
        let config = EncoderConfig::new()
            .profile(Profile::High)
            .level(level(self.width, self.height, self.fps))
            .vui(VuiConfig::bt709())
            // The quantiser is held constant, so that the rate follows the picture. The rate control that remains may only skip
            // frames, and only those beyond its budget: a second for each frame, with more bits than a picture without any
            // compression takes. (Without leave to skip, the encoder complains on stderr.)
            .rate_control_mode(RateControlMode::Quality)
            .qp(QpRange::new(quantiser, quantiser))
            .skip_frames(true)
            .max_frame_rate(EncoderRate::from_hz(1.0))
            .bitrate(BitRate::from_bps(14 * self.width * self.height))
            // With a quantiser that is held, more care finds nothing: the same picture to 0.1 dB, files 1 % larger, 12 % slower.
            .complexity(Complexity::Low)
            // Both freeze or blur what moves little, which is where generated video lives.
            .background_detection(false)
            .adaptive_quantization(false)
            .scene_change_detect(true)
            .intra_frame_period(IntraFramePeriod::from_num_frames(self.key_frame_interval()))
            // One slice and one thread: the same bytes on every machine.
            .num_threads(1);
        openh264::encoder::Encoder::with_api_config(OpenH264API::from_source(), config)
            .map_err(|error| Error::encoder(CODEC, error))
    }

    fn key_frame_interval(self) -> u32 {
        (self.fps.as_f64() * KEY_FRAME_SECS).round().max(1.0) as u32
    }
}

/// The lowest level that allows this many macroblocks a frame and a second (H.264, table A-1). The encoder raises it where the bit
/// rate above asks for more.
fn level(width: u32, height: u32, fps: FrameRate) -> Level {
    const LEVELS: [(u32, f64, Level); 12] = [
        (396, 11_880.0, Level::Level_2_0),
        (792, 19_800.0, Level::Level_2_1),
        (1_620, 20_250.0, Level::Level_2_2),
        (1_620, 40_500.0, Level::Level_3_0),
        (3_600, 108_000.0, Level::Level_3_1),
        (5_120, 216_000.0, Level::Level_3_2),
        (8_192, 245_760.0, Level::Level_4_0),
        (8_192, 245_760.0, Level::Level_4_1),
        (8_704, 522_240.0, Level::Level_4_2),
        (22_080, 589_824.0, Level::Level_5_0),
        (36_864, 983_040.0, Level::Level_5_1),
        (36_864, 2_073_600.0, Level::Level_5_2),
    ];
    let blocks = width.div_ceil(16) * height.div_ceil(16);
    let blocks_per_sec = f64::from(blocks) * fps.as_f64();
    let allows =
        |&&(frame, second, _): &&(u32, f64, Level)| blocks <= frame && blocks_per_sec <= second;
    LEVELS
        .iter()
        .find(allows)
        .map_or(Level::Level_5_2, |&(_, _, level)| level)
}

/// Quality 100 is quantiser 12, the finest that OpenH264 takes, and quality 1 is 42.
fn quantiser(quality: Quality) -> u8 {
    let coarseness = f64::from(100 - quality.get()) / 99.0;
    (12.0 + 30.0 * coarseness).round() as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Colour;
    use crate::h264::Sps;

    fn encoder(width: u32, height: u32) -> Result<Encoder> {
        Encoder::new(
            width,
            height,
            FrameRate::whole(12).unwrap(),
            Quality::default(),
        )
    }

    #[test]
    fn sizes_that_cannot_be_encoded_are_refused() {
        assert!(matches!(
            encoder(255, 144),
            Err(Error::OddSize {
                width: 255,
                height: 144
            })
        ));
        assert!(matches!(encoder(8, 144), Err(Error::SizeLimit { .. })));
        assert!(matches!(encoder(4096, 2160), Err(Error::SizeLimit { .. })));
        assert!(encoder(16, 16).is_ok());
    }

    #[test]
    fn the_stream_says_high_profile_and_bt709() {
        let mut encoder = encoder(48, 32).unwrap();
        let unit = encoder
            .encode(&Frame::filled(48, 32, [200, 30, 90]).unwrap())
            .unwrap();
        assert!(unit.key_frame);
        assert_eq!(unit.parameter_sets.len(), 2);
        let sps = Sps::parse(unit.parameter_sets[0]).unwrap();
        assert_eq!(
            (sps.profile_name(), sps.width, sps.height),
            ("High", 48, 32)
        );
        assert_eq!(sps.colour, Colour::BT709);
    }

    #[test]
    fn no_frame_is_skipped_and_key_frames_return() {
        let mut encoder = encoder(64, 64).unwrap();
        let still = Frame::filled(64, 64, [9, 99, 199]).unwrap();
        let keys: Vec<_> = (0..60)
            .filter(|_| encoder.encode(&still).unwrap().key_frame)
            .collect();
        assert_eq!(keys, [0, 24, 48]);
    }

    #[test]
    fn noise_is_coarser_and_not_an_error() {
        let fps = FrameRate::whole(12).unwrap();
        let mut encoder = Encoder::new(256, 144, fps, Quality::new(100).unwrap()).unwrap();
        let flat = Frame::filled(256, 144, [90, 120, 30]).unwrap();
        encoder.encode(&flat).unwrap();
        let parameters = |unit: &AccessUnit| unit.parameter_sets.concat();
        let mut random = 1u32;
        for _ in 0..10 {
            let noise = Frame::from_fn(256, 144, |_, _| {
                random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let [_, r, g, b] = random.to_le_bytes();
                [r, g, b]
            });
            encoder.encode(&noise.unwrap()).unwrap();
        }
        assert!(encoder.quantiser > 12);
        let keys: Vec<_> = (0..60)
            .filter(|_| {
                let unit = encoder.encode(&flat).unwrap();
                unit.key_frame && !parameters(&unit).is_empty()
            })
            .collect();
        assert_eq!(encoder.quantiser, 12);
        assert!(keys.len() >= 2, "{keys:?}");
    }

    #[test]
    fn the_level_follows_size_and_rate() {
        let level = |width, height, fps| {
            let fps = FrameRate::whole(fps).unwrap();
            let mut encoder = Encoder::new(width, height, fps, Quality::default()).unwrap();
            let unit = encoder
                .encode(&Frame::filled(width, height, [9; 3]).unwrap())
                .unwrap();
            unit.parameter_sets[0][3]
        };
        assert_eq!(level(256, 144, 12), 20);
        assert_eq!(level(704, 384, 24), 30);
        assert!(matches!(level(1920, 1080, 30), 40 | 41));
        assert!(level(1920, 1080, 60) >= 42);
    }

    #[test]
    fn quality_covers_the_range() {
        let at = |quality| quantiser(Quality::new(quality).unwrap());
        assert_eq!((at(100), at(1)), (12, 42));
        assert!(at(90) < at(50));
    }
}
