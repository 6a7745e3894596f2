//! What an evaluation found, as a page of Markdown.

use kinora_data::Fact;

use super::TaskQuality;
use super::continuity::Drift;
use super::report::{Accuracy, EvaluateReport, Facts, JudgedClip, Settings, SheetRow};

/// Name of the sheet of everyday prompts in the report's folder.
pub(super) const SHEET: &str = "sheet.png";
/// Name of the sheet of judged clips.
pub(super) const JUDGED_SHEET: &str = "judged.png";
/// Contact sheet of the tasks: what was given, then what was made of it.
pub(super) const TASKS_SHEET: &str = "tasks.png";
/// Prompts in a row on the sheet of judged clips.
pub(super) const JUDGED_COLUMNS: u32 = 8;

/// What the weights of the first release must reach.
const PSNR_TARGET_DB: f32 = 28.0;
const SUBJECT_TARGET: f64 = 0.4;
const BACKGROUND_TARGET: f64 = 0.8;
const MOTION_TARGET: f64 = 0.6;

impl EvaluateReport {
    /// One page with the figures and links to the pictures beside it.
    pub fn to_markdown(&self) -> String {
        let Settings {
            clips,
            frames,
            size: [width, height],
            steps,
            guidance,
            guidance_above,
            shift,
            seed,
        } = self.settings;
        let mut page = format!(
            "# Evaluation of {}\n\n\
             - weights: `{}`\n\
             - machine: {}\n\
             - {clips} judged clips of {frames} frames at {width}×{height}, {steps} steps, guidance \
             {guidance} above {guidance_above}, shift {shift}, seed {seed}; {:.2} s each\n\n",
            self.model,
            if self.model_hash.is_empty() {
                "not from a file"
            } else {
                &self.model_hash
            },
            self.machine,
            self.seconds_per_clip,
        );
        page += &self.table();
        page += "\nThe ceiling is what the same judges reach on rendered scenes of held-out \
                 combinations. On generated clips only the facts that the prompt names are judged. \
                 The feature distance is a Fréchet distance with diagonal covariances over the \
                 judges' features; beside it stands that between two sets of rendered scenes. Paths are \
                 judged by the rendered ones most like them, over more prompts than there are clips.\n";
        page += &self.tasks();
        if !self.sheet.is_empty() {
            page += &format!("\n## Everyday prompts\n\n![Everyday prompts]({SHEET})\n\n");
            page += "| row | prompt | the judges see |\n| --- | --- | --- |\n";
            for (row, SheetRow { prompt, seen }) in self.sheet.iter().enumerate() {
                let Facts {
                    subject,
                    background,
                    motion,
                    camera,
                    time,
                    weather,
                    style,
                } = &seen.facts;
                page += &format!(
                    "| {} | {} | {}, {}, {}, {}, {}, {}, {} |\n",
                    row + 1,
                    cell(prompt),
                    cell(subject),
                    background.name(),
                    motion.name(),
                    camera.name(),
                    time.name(),
                    weather.name(),
                    style.name(),
                );
            }
        }
        if !self.clips.is_empty() {
            page += &format!(
                "\n## Judged clips\n\nIn rows of {JUDGED_COLUMNS}, the middle frame of each.\n\n\
                 ![Judged clips]({JUDGED_SHEET})\n\n"
            );
            page += "| clip | prompt | subject | background | motion | camera | time | weather | style |\n";
            page += "| --- | --- | --- | --- | --- | --- | --- | --- | --- |\n";
            for (index, clip) in self.clips.iter().enumerate() {
                page += &clip.row(index + 1);
            }
        }
        page
    }

    /// Tasks with given frames, and drift.
    fn tasks(&self) -> String {
        let mut text = String::new();
        let cell = |value: Option<f64>, unit: &str| {
            value.map_or("–".to_owned(), |value| format!("{value:.2}{unit}"))
        };
        if !self.tasks.is_empty() {
            text += "\n## Given frames\n\n\
                     | task | clips | given frames, from the model | first made frame to the given one | rendered | \
                     seam jump | rendered |\n| --- | --- | --- | --- | --- | --- | --- |\n";
        }
        for quality in &self.tasks {
            text += &format!(
                "| {} | {} | {} | {} | {} | {} | {} |\n",
                quality.task.name(),
                quality.clips,
                cell(quality.kept_psnr_db, " dB"),
                cell(quality.first_psnr_db, " dB"),
                cell(quality.real_first_psnr_db, " dB"),
                cell(quality.seam_jump, ""),
                cell(quality.real_seam_jump, ""),
            );
        }
        text += &self.agreement();
        if !self.tasks.is_empty() {
            text += "\nThe seam jump is the difference of the frames at a seam over the median of all other \
                     neighbours, and of a region that of pixels across its border over all other neighbouring pixels. The same places of the \
                     rendered scene stand beside it. In a region the prompt names another subject and no place; a remix names another \
                     style, light or weather alone, so its subject and place are to stay.\n";
            text += &format!(
                "\n![Task by task, what was given and what was made of it]({TASKS_SHEET})\n"
            );
        }
        if let Some(drift) = &self.drift {
            text += &format!(
                "\nFrom the first to the last seconds of {} the mean colour drifts by {:.1} levels of 255, {:.1} %, and \
                 contrast becomes {:.2} of what it was.\n",
                drift.seconds,
                drift.colour,
                drift.colour_share * 100.0,
                drift.contrast
            );
            text += &unplanned(drift);
        }
        if let Some(long) = &self.long_clips {
            let (first, last) = (long.first, long.last);
            text += &format!(
                "\nOf {} clips of {} seconds whose plan keeps the subject in view ({} more lead it away) the judges see the right subject in {} at the beginning and in {} at the end; among \
                 the five likeliest in {} and {}.\n",
                first.subject_top_1.of,
                long.seconds,
                long.gone,
                first.subject_top_1.right,
                last.subject_top_1.right,
                first.subject_top_5.right,
                last.subject_top_5.right,
            );
            if let Some(drift) = &long.drift {
                text += &format!(
                    "On their mean colours drift by {:.1} levels, {:.1} %, and contrast becomes {:.2} of what it was.\n",
                    drift.colour,
                    drift.colour_share * 100.0,
                    drift.contrast
                );
                text += &unplanned(drift);
            }
        }
        text
    }

    /// What the judges see of what each task was asked for.
    fn agreement(&self) -> String {
        let mut text = String::new();
        if self.tasks.is_empty() {
            return text;
        }
        text += "\n| task | subject | among five | place | motion | light | weather | style |\n\
                 | --- | --- | --- | --- | --- | --- | --- | --- |\n";
        let cell = |Accuracy { right, of }| match of {
            0 => "–".to_owned(),
            _ => format!("{right} of {of}"),
        };
        for TaskQuality {
            task, agreement, ..
        } in &self.tasks
        {
            let cells = [
                agreement.subject_top_1,
                agreement.subject_top_5,
                agreement.background,
                agreement.motion,
                agreement.time,
                agreement.weather,
                agreement.style,
            ];
            let cells = cells.map(cell).join(" | ");
            text += &format!("| {} | {cells} |\n", task.name());
        }
        text
    }

    fn table(&self) -> String {
        let percent = |accuracy: &Accuracy| {
            accuracy.share().map_or("–".to_owned(), |share| {
                format!(
                    "{:.1} % ({} of {})",
                    share * 100.0,
                    accuracy.right,
                    accuracy.of
                )
            })
        };
        let target = |share: f64| format!("≥ {:.0} %", share * 100.0);
        let distance =
            |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{value:.3}"));
        let none = String::new;
        let (made, real) = (&self.generated, &self.ceiling);
        let rows = [
            (
                "autoencoder PSNR",
                format!(
                    "{:.2} dB ({:.2} of all errors)",
                    self.autoencoder.psnr_db, self.autoencoder.pooled_psnr_db
                ),
                none(),
                format!("≥ {PSNR_TARGET_DB} dB"),
            ),
            (
                "autoencoder SSIM",
                format!("{:.3}", self.autoencoder.ssim),
                none(),
                none(),
            ),
            (
                "subject, top 1",
                percent(&made.subject_top_1),
                percent(&real.subject_top_1),
                target(SUBJECT_TARGET),
            ),
            (
                "subject, top 5",
                percent(&made.subject_top_5),
                percent(&real.subject_top_5),
                none(),
            ),
            (
                "background",
                percent(&made.background),
                percent(&real.background),
                target(BACKGROUND_TARGET),
            ),
            (
                "motion",
                percent(&made.motion),
                percent(&real.motion),
                target(MOTION_TARGET),
            ),
            (
                "camera",
                percent(&made.camera),
                percent(&real.camera),
                none(),
            ),
            ("time", percent(&made.time), percent(&real.time), none()),
            (
                "weather",
                percent(&made.weather),
                percent(&real.weather),
                none(),
            ),
            ("style", percent(&made.style), percent(&real.style), none()),
            (
                "feature distance",
                distance(self.feature_distance),
                distance(self.feature_distance_floor),
                none(),
            ),
        ];
        let mut table =
            "| metric | value | ceiling | target |\n| --- | --- | --- | --- |\n".to_owned();
        for (metric, value, ceiling, target) in rows {
            table += &format!("| {metric} | {value} | {ceiling} | {target} |\n");
        }
        if let Some(paths) = &self.paths {
            let rows = [
                ("motion of paths", &paths.motion, &paths.rendered_motion),
                ("camera of paths", &paths.camera, &paths.rendered_camera),
            ];
            for (metric, made, real) in rows {
                table += &format!("| {metric} | {} | {} | |\n", percent(made), percent(real));
            }
        }
        table
    }
}

impl JudgedClip {
    fn row(&self, number: usize) -> String {
        let mark = |fact: Fact, wanted: &str, seen: &str| {
            if !self.told.contains(&fact) {
                "·".to_owned()
            } else if wanted == seen {
                format!("✓ {}", cell(wanted))
            } else {
                format!("✗ {} for {}", cell(seen), cell(wanted))
            }
        };
        let (wanted, seen) = (&self.wanted, &self.seen.facts);
        format!(
            "| {number} | {} | {} | {} | {} | {} | {} | {} | {} |\n",
            cell(&self.prompt),
            mark(Fact::Subject, &wanted.subject, &seen.subject),
            mark(
                Fact::Background,
                wanted.background.name(),
                seen.background.name()
            ),
            mark(Fact::Motion, wanted.motion.name(), seen.motion.name()),
            mark(Fact::Camera, wanted.camera.name(), seen.camera.name()),
            mark(Fact::Time, wanted.time.name(), seen.time.name()),
            mark(Fact::Weather, wanted.weather.name(), seen.weather.name()),
            mark(Fact::Style, wanted.style.name(), seen.style.name()),
        )
    }
}

/// Text that cannot break a Markdown table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace(['\n', '\r'], " ")
}

/// What a drift is beyond what was planned.
fn unplanned(drift: &Drift) -> String {
    drift.unplanned.map_or(String::new(), |unplanned| {
        format!(
            "Beyond what the plates show, the mean colour drifts by {:.1} %, and contrast becomes {:.2} of what it was.\n",
            unplanned.colour_share * 100.0,
            unplanned.contrast
        )
    })
}
