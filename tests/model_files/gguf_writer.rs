//! Writes GGUF files, true ones and lying ones.

/// The parts of a file, in the order in which they are written.
#[derive(Clone)]
pub struct GgufWriter {
    pub version: u32,
    pub alignment: usize,
    /// Key, kind and encoded value.
    pub pairs: Vec<(String, u32, Vec<u8>)>,
    pub tensors: Vec<Tensor>,
    /// What the header claims, if not the truth.
    pub claimed_tensors: Option<u64>,
    pub claimed_pairs: Option<u64>,
}

#[derive(Clone)]
pub struct Tensor {
    pub name: String,
    /// As the file has it: the dimension of neighbours first.
    pub dimensions: Vec<u64>,
    pub kind: u32,
    pub bytes: Vec<u8>,
    /// What the entry claims, if not the truth.
    pub claimed_offset: Option<u64>,
}

fn text(value: &str) -> Vec<u8> {
    [&(value.len() as u64).to_le_bytes(), value.as_bytes()].concat()
}

fn list(kind: u32, elements: Vec<Vec<u8>>) -> Vec<u8> {
    [&kind.to_le_bytes()[..], &(elements.len() as u64).to_le_bytes(), &elements.concat()].concat()
}

impl GgufWriter {
    pub fn new() -> Self {
        Self { version: 3, alignment: 32, pairs: vec![], tensors: vec![], claimed_tensors: None, claimed_pairs: None }
    }

    pub fn raw(&mut self, key: &str, kind: u32, value: &[u8]) -> &mut Self {
        self.pairs.push((key.into(), kind, value.to_vec()));
        self
    }

    pub fn text(&mut self, key: &str, value: &str) -> &mut Self {
        self.raw(key, 8, &text(value))
    }

    pub fn whole(&mut self, key: &str, value: u32) -> &mut Self {
        self.raw(key, 4, &value.to_le_bytes())
    }

    pub fn real(&mut self, key: &str, value: f32) -> &mut Self {
        self.raw(key, 6, &value.to_le_bytes())
    }

    pub fn flag(&mut self, key: &str, value: bool) -> &mut Self {
        self.raw(key, 7, &[value.into()])
    }

    pub fn texts(&mut self, key: &str, values: &[&str]) -> &mut Self {
        self.raw(key, 9, &list(8, values.iter().map(|v| text(v)).collect()))
    }

    pub fn integers(&mut self, key: &str, values: &[i32]) -> &mut Self {
        self.raw(key, 9, &list(5, values.iter().map(|v| v.to_le_bytes().to_vec()).collect()))
    }

    /// Replaces or removes a pair.
    pub fn without(&mut self, key: &str) -> &mut Self {
        self.pairs.retain(|(k, ..)| k != key);
        self
    }

    /// `shape` is row-major, as the model has it.
    pub fn tensor(&mut self, name: &str, shape: &[usize], kind: u32, bytes: Vec<u8>) -> &mut Self {
        let dimensions = shape.iter().rev().map(|d| *d as u64).collect();
        self.tensors.push(Tensor { name: name.into(), dimensions, kind, bytes, claimed_offset: None });
        self
    }

    pub fn floats(&mut self, name: &str, shape: &[usize], values: &[f32]) -> &mut Self {
        self.tensor(name, shape, 0, values.iter().flat_map(|v| v.to_le_bytes()).collect())
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut file = b"GGUF".to_vec();
        file.extend(self.version.to_le_bytes());
        file.extend(self.claimed_tensors.unwrap_or(self.tensors.len() as u64).to_le_bytes());
        file.extend(self.claimed_pairs.unwrap_or(self.pairs.len() as u64).to_le_bytes());
        for (key, kind, value) in &self.pairs {
            file.extend(text(key));
            file.extend(kind.to_le_bytes());
            file.extend(value);
        }
        let mut data = Vec::new();
        for tensor in &self.tensors {
            data.resize(data.len().next_multiple_of(self.alignment), 0);
            file.extend(text(&tensor.name));
            file.extend((tensor.dimensions.len() as u32).to_le_bytes());
            tensor.dimensions.iter().for_each(|d| file.extend(d.to_le_bytes()));
            file.extend(tensor.kind.to_le_bytes());
            file.extend(tensor.claimed_offset.unwrap_or(data.len() as u64).to_le_bytes());
            data.extend(&tensor.bytes);
        }
        file.resize(file.len().next_multiple_of(self.alignment), 0);
        file.extend(data);
        file
    }
}
