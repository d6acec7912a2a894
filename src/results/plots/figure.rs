//! What all plots share: the canvas, the font, the palette, the legend, and saving as SVG and PNG.

use crate::results::error::ResultsError;
use crate::results::files;
use plotters::coord::Shift;
use plotters::element::{Circle, PathElement, Polygon, Rectangle};
use plotters::prelude::{BitMapBackend, DrawingArea, DrawingBackend, IntoDrawingArea, SVGBackend};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{
    Color, FontFamily, FontStyle, FontTransform, RGBColor, ShapeStyle, TextStyle, WHITE, register_font,
};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The shipped font, so that text looks the same on machines without fonts; SVG viewers may fall back to the others.
const FONT_FAMILY: &str = "DejaVu Sans, Verdana, sans-serif";
const FONT: &[u8] = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/assets/fonts/DejaVuSans.ttf"));

/// Drawing units per typographic point. A PNG has half as many pixels: each is the mean of 2 x 2 units.
const UNITS_PER_POINT: f64 = 8.0;

/// Sizes in points; figures are 360 points wide, so text stays readable in one column of a two-column paper.
pub(super) const TICK_TEXT: f64 = 8.5;
pub(super) const LABEL_TEXT: f64 = 9.5;
pub(super) const NOTE_TEXT: f64 = 7.5;
pub(super) const FIGURE_WIDTH: f64 = 360.0;

pub(super) const INK: RGBColor = RGBColor(0x26, 0x26, 0x26);
pub(super) const GREY: RGBColor = RGBColor(0x80, 0x80, 0x80);
pub(super) const GRID: RGBColor = RGBColor(0xe4, 0xe4, 0xe4);

/// Colours that colour-blind readers tell apart (Okabe and Ito 2008), the light yellow left out.
pub(super) const PALETTE: [RGBColor; 7] = [
    RGBColor(0x00, 0x72, 0xb2),
    RGBColor(0xd5, 0x5e, 0x00),
    RGBColor(0x00, 0x9e, 0x73),
    RGBColor(0xcc, 0x79, 0xa7),
    RGBColor(0xe6, 0x9f, 0x00),
    RGBColor(0x56, 0xb4, 0xe9),
    RGBColor(0x00, 0x00, 0x00),
];

/// Colours of the five latency parts, in their order; waiting is a neutral grey.
pub(super) const PART_COLORS: [RGBColor; 5] =
    [PALETTE[0], PALETTE[4], PALETTE[2], PALETTE[5], RGBColor(0xc8, 0xc8, 0xc8)];

/// Why a plot could not be drawn.
pub(super) struct DrawError(String);
pub(super) type Drawn<T = ()> = Result<T, DrawError>;

impl<E: std::error::Error + Send + Sync> From<plotters::drawing::DrawingAreaErrorKind<E>> for DrawError {
    fn from(e: plotters::drawing::DrawingAreaErrorKind<E>) -> Self {
        Self(e.to_string())
    }
}

/// A plot that draws itself on any backend.
pub(super) trait Figure {
    /// Width and height in points.
    fn size_pt(&self) -> (f64, f64);

    fn draw<B: DrawingBackend>(&self, canvas: &Canvas<'_, B>) -> Drawn;
}

/// `points` in drawing units.
pub(super) fn pt(points: f64) -> i32 {
    (points * UNITS_PER_POINT).round() as i32
}

/// A user's name cut to what leaves room for the plot beside it.
pub(super) fn short_name(name: &str) -> String {
    const MOST: usize = 26;
    if name.chars().count() <= MOST {
        name.to_owned()
    } else {
        name.chars().take(MOST - 1).chain(['\u{2026}']).collect()
    }
}

#[derive(Clone, Copy)]
pub(super) enum Mark {
    Circle,
    Square,
    Triangle,
    Diamond,
}

impl Mark {
    /// The mark of series `index`; with [`PALETTE`]'s 7 colours, 28 series differ.
    pub fn of(index: usize) -> Self {
        [Self::Circle, Self::Square, Self::Triangle, Self::Diamond][index % 4]
    }
}

/// The sample of a legend entry.
#[derive(Clone, Copy)]
pub(super) enum Key {
    Swatch(RGBColor),
    Line(RGBColor, Option<Mark>),
    Point(RGBColor, Mark),
    /// No sample: a heading of the entries that follow.
    Heading,
}

impl Key {
    fn width_pt(self) -> f64 {
        match self {
            Key::Swatch(_) => 10.0,
            Key::Line(..) => 14.0,
            Key::Point(..) => 7.0,
            Key::Heading => 0.0,
        }
    }
}

/// Where a text's anchor lies: at its left end, middle or right end (vertically always the middle).
#[derive(Clone, Copy)]
pub(super) enum Align {
    Left,
    Middle,
    Right,
}

/// How a backend of plotters sets text: its size per em, and how far (in em) the middle of a capital then lies above
/// the anchor of vertically centred text. Known for each, both formats can look the same.
#[derive(Clone, Copy)]
struct TextMetrics {
    size_per_em: f64,
    rise_em: f64,
}

impl TextMetrics {
    const SVG: Self = Self { size_per_em: 1.24, rise_em: 0.095 };
    /// The rasteriser scales ascent plus descent, 1.164 em in DejaVu Sans, to the size.
    const BITMAP: Self = Self { size_per_em: 1.164, rise_em: 0.25 };
}

/// The drawing primitives of all plots, in units of [`pt`], origin at the top left.
pub(super) struct Canvas<'a, B: DrawingBackend> {
    area: &'a DrawingArea<B, Shift>,
    text: TextMetrics,
}

impl<B: DrawingBackend> Canvas<'_, B> {
    pub fn width(&self) -> i32 {
        self.area.dim_in_pixel().0 as i32
    }

    pub fn height(&self) -> i32 {
        self.area.dim_in_pixel().1 as i32
    }

    pub fn line(&self, points: &[(i32, i32)], color: RGBColor, width_pt: f64) -> Drawn {
        let style = ShapeStyle { color: color.to_rgba(), filled: false, stroke_width: pt(width_pt) as u32 };
        Ok(self.area.draw(&PathElement::new(points.to_vec(), style))?)
    }

    pub fn rect(&self, corners: [(i32, i32); 2], color: RGBColor) -> Drawn {
        Ok(self.area.draw(&Rectangle::new(corners, color.filled()))?)
    }

    pub fn area(&self, outline: Vec<(i32, i32)>, color: RGBColor, opacity: f64) -> Drawn {
        Ok(self.area.draw(&Polygon::new(outline, color.mix(opacity)))?)
    }

    pub fn mark(&self, (x, y): (i32, i32), mark: Mark, radius_pt: f64, color: RGBColor) -> Drawn {
        let r = pt(radius_pt);
        let (wide, low) = (r * 11 / 10, r * 3 / 4);
        match mark {
            Mark::Circle => Ok(self.area.draw(&Circle::new((x, y), r, color.filled()))?),
            Mark::Square => self.rect([(x - r * 9 / 10, y - r * 9 / 10), (x + r * 9 / 10, y + r * 9 / 10)], color),
            Mark::Triangle => self.area(vec![(x - wide, y + low), (x, y - r * 5 / 4), (x + wide, y + low)], color, 1.0),
            Mark::Diamond => {
                let d = r * 5 / 4;
                self.area(vec![(x - d, y), (x, y - d), (x + d, y), (x, y + d)], color, 1.0)
            }
        }
    }

    pub fn text(&self, text: &str, at: (i32, i32), size_pt: f64, align: Align, color: RGBColor) -> Drawn {
        let style = text_style(size_pt * self.text.size_per_em, align, &color);
        Ok(self.area.draw_text(text, &style, (at.0, at.1 + pt(size_pt * self.text.rise_em)))?)
    }

    /// Text that reads from bottom to top, centred at `at`.
    pub fn upward_text(&self, text: &str, at: (i32, i32), size_pt: f64, color: RGBColor) -> Drawn {
        let style = text_style(size_pt * self.text.size_per_em, Align::Middle, &color);
        let style = style.transform(FontTransform::Rotate270);
        Ok(self.area.draw_text(text, &style, (at.0 + pt(size_pt * self.text.rise_em), at.1))?)
    }

    /// The width of `text`, measured by the rasteriser for both formats.
    pub fn text_width(&self, text: &str, size_pt: f64) -> Drawn<i32> {
        let style = text_style(size_pt * TextMetrics::BITMAP.size_per_em, Align::Left, &INK);
        Ok(self.area.estimate_text_size(text, &style)?.0 as i32)
    }

    /// The widest of `texts`; zero without any.
    pub fn widest<'t>(&self, texts: impl IntoIterator<Item = &'t str>, size_pt: f64) -> Drawn<i32> {
        texts.into_iter().try_fold(0, |widest, text| Ok(widest.max(self.text_width(text, size_pt)?)))
    }

    /// Draws a legend in as many centred rows as it needs, above the plot where it covers no data; returns the `y`
    /// below it. Nothing for no entries.
    pub fn legend(&self, top: i32, entries: &[(String, Key)]) -> Drawn<i32> {
        let (gap, row) = (pt(11.0), pt(13.0));
        let mut rows: Vec<(i32, Vec<(usize, i32)>)> = Vec::new();
        for (i, (label, key)) in entries.iter().enumerate() {
            let width = pt(key.width_pt() + 4.0) + self.text_width(label, TICK_TEXT)?;
            match rows.last_mut() {
                Some((used, cells)) if *used + gap + width <= self.width() - pt(16.0) => {
                    cells.push((i, width));
                    *used += gap + width;
                }
                _ => rows.push((width, vec![(i, width)])),
            }
        }
        let mut y = top + row / 2;
        for (used, cells) in &rows {
            let mut x = (self.width() - used) / 2;
            for &(i, width) in cells {
                let (label, key) = &entries[i];
                let sample = pt(key.width_pt());
                self.legend_sample((x, y), sample, *key)?;
                self.text(label, (x + sample + pt(4.0), y), TICK_TEXT, Align::Left, INK)?;
                x += width + gap;
            }
            y += row;
        }
        Ok(if rows.is_empty() { top } else { y - row / 2 + pt(3.0) })
    }

    fn legend_sample(&self, (x, y): (i32, i32), width: i32, key: Key) -> Drawn {
        match key {
            Key::Heading => Ok(()),
            Key::Swatch(color) => self.rect([(x, y - pt(3.5)), (x + width, y + pt(3.5))], color),
            Key::Point(color, mark) => self.mark((x + width / 2, y), mark, 2.6, color),
            Key::Line(color, mark) => {
                self.line(&[(x, y), (x + width, y)], color, 1.4)?;
                mark.map_or(Ok(()), |m| self.mark((x + width / 2, y), m, 2.4, color))
            }
        }
    }
}

fn text_style(size_pt: f64, align: Align, color: &RGBColor) -> TextStyle<'_> {
    let horizontal = match align {
        Align::Left => HPos::Left,
        Align::Middle => HPos::Center,
        Align::Right => HPos::Right,
    };
    TextStyle::from((FontFamily::Name(FONT_FAMILY), size_pt * UNITS_PER_POINT, FontStyle::Normal))
        .color(color)
        .pos(Pos::new(horizontal, VPos::Center))
}

/// Writes `figure` to `<base>.svg` and `<base>.png`, each whole or not at all, and returns the two paths.
pub(super) fn save(figure: &impl Figure, base: &Path) -> Result<[PathBuf; 2], ResultsError> {
    let (svg_path, png_path) = (with_extension(base, "svg"), with_extension(base, "png"));
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |e: DrawError| ResultsError::Plot { path, detail: e.0 }
    };
    let svg = render_svg(figure).map_err(failed(&svg_path))?;
    files::write_whole(&svg_path, |out| out.write_all(svg.as_bytes()))?;
    // The encoder chooses its format by the file's extension.
    let partial = with_extension(&files::hidden_sibling(base, "partial"), "png");
    let rendered = render_png(figure, &partial).map_err(failed(&png_path));
    let placed = rendered.and_then(|()| std::fs::rename(&partial, &png_path).map_err(ResultsError::write(&png_path)));
    if placed.is_err() {
        // The first error is the one to report.
        let _ = std::fs::remove_file(&partial);
    }
    placed.map(|()| [svg_path, png_path])
}

/// `base` with `.extension` after it (`Path::with_extension` would cut a name at its last dot).
fn with_extension(base: &Path, extension: &str) -> PathBuf {
    let mut name = base.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(extension);
    base.with_file_name(name)
}

fn size_units(figure: &impl Figure) -> (u32, u32) {
    let (width, height) = figure.size_pt();
    (pt(width) as u32, pt(height) as u32)
}

fn render<B: DrawingBackend>(figure: &impl Figure, area: DrawingArea<B, Shift>, text: TextMetrics) -> Drawn {
    static REGISTERED: OnceLock<bool> = OnceLock::new();
    if !REGISTERED.get_or_init(|| register_font(FONT_FAMILY, FontStyle::Normal, FONT).is_ok()) {
        return Err(DrawError("the font inside the program is damaged; build it again".to_owned()));
    }
    area.fill(&WHITE)?;
    figure.draw(&Canvas { area: &area, text })?;
    Ok(area.present()?)
}

fn render_svg(figure: &impl Figure) -> Drawn<String> {
    let (width, height) = size_units(figure);
    let mut text = String::new();
    render(figure, SVGBackend::with_string(&mut text, (width, height)).into_drawing_area(), TextMetrics::SVG)?;
    // The natural size is that in points; the view box keeps the drawing units.
    let (width_pt, height_pt) = figure.size_pt();
    let units = format!("width=\"{width}\" height=\"{height}\"");
    Ok(text.replacen(&units, &format!("width=\"{width_pt}pt\" height=\"{height_pt}pt\""), 1))
}

fn render_png(figure: &impl Figure, path: &Path) -> Drawn {
    let (width, height) = size_units(figure);
    let mut fine = vec![0; width as usize * height as usize * 3];
    render(figure, BitMapBackend::with_buffer(&mut fine, (width, height)).into_drawing_area(), TextMetrics::BITMAP)?;
    let small = halve(&fine, width as usize, height as usize);
    let size = (width / 2, height / 2);
    let mut png = BitMapBackend::new(path, size);
    let failed = |e: &dyn std::fmt::Display| DrawError(e.to_string());
    png.blit_bitmap((0, 0), size, &small).map_err(|e| failed(&e))?;
    png.present().map_err(|e| failed(&e))
}

/// The RGB picture at half the width and height, each pixel the mean of 2 x 2: smooth edges at any slope.
fn halve(fine: &[u8], width: usize, height: usize) -> Vec<u8> {
    let mut small = Vec::with_capacity(fine.len() / 4);
    for y in (0..height - height % 2).step_by(2) {
        for x in (0..width - width % 2).step_by(2) {
            for channel in 0..3 {
                let at = |dx: usize, dy: usize| u32::from(fine[((y + dy) * width + x + dx) * 3 + channel]);
                small.push(((at(0, 0) + at(1, 0) + at(0, 1) + at(1, 1) + 2) / 4) as u8);
            }
        }
    }
    small
}
