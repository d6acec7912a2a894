//! Attention inside each sequence and its gradient.

use super::arena::Block;
use super::buffer::{Buffer, Kind};
use super::launch::{
    AttentionArguments, BiasArguments, BiasGradientArguments, MOST_HEAD_COLUMNS, PrefixGradientArguments,
};
use super::linear::parameters;
use super::tables::Spans;
use super::{Address, Cuda};
use crate::backend::distance::{buckets_by_distance, places_of_buckets};
use crate::backend::{AttentionGradient, AttentionInput, AttentionSaved, AttentionShape, Packing, RelativeBias};

impl Cuda {
    /// The widest head.
    pub const MOST_HEAD_COLUMNS: usize = MOST_HEAD_COLUMNS;

    /// What forward and backward launches have in common; the bias by distance lives as long as the block.
    fn attention_arguments(
        &self,
        (queries, keys): (&Spans, &Spans),
        shape: AttentionShape,
        input: &AttentionInput<'_, Self>,
    ) -> (AttentionArguments, Option<Block>) {
        assert!(shape.head_dim <= MOST_HEAD_COLUMNS, "heads of at most {MOST_HEAD_COLUMNS} columns");
        let at = |columns: &crate::backend::Columns<'_, Self>, rows: usize| {
            columns.buffer.halves(rows * columns.row).halves(columns.column)
        };
        let (query, key, value) =
            (at(&input.query, queries.rows), at(&input.key, keys.rows), at(&input.value, keys.rows));
        let of_prefix =
            |at: Option<usize>| at.map_or(Address::NULL, |at| parameters(queries, input.trainable).halves(at));
        let span = queries.longest + keys.longest;
        let tables = input.bias_table.map_or(1, |_| queries.client_count);
        let bias = input.bias.map(|bias| {
            let buckets = by_distance(bias, queries, keys);
            let buckets = self.table(&buckets.into_iter().map(|b| b as i32).collect::<Vec<i32>>());
            let out = self.working(Kind::Single, tables * shape.heads * span);
            let table = match input.bias_table {
                Some(at) => parameters(queries, input.trainable).halves(at),
                None => bias.table.halves(bias.buckets * shape.heads),
            };
            let arguments = BiasArguments {
                table,
                buckets: buckets.address(),
                bias: out.address(),
                group: input.trainable.stride as i64,
                heads: shape.heads as i32,
                span: span as i32,
            };
            self.run(arguments.launch(tables));
            out
        });
        let arguments = AttentionArguments {
            query,
            key,
            value,
            prefix_key: of_prefix(input.prefix.map(|p| p.key)),
            prefix_value: of_prefix(input.prefix.map(|p| p.value)),
            bias: bias.as_ref().map_or(Address::NULL, Block::address),
            query_offsets: queries.sequences,
            key_offsets: keys.sequences,
            clients: queries.client_of,
            prefix_group: input.trainable.stride as i64,
            bias_group: input.bias_table.map_or(0, |_| shape.heads * span) as i64,
            query_row: input.query.row as i32,
            key_row: input.key.row as i32,
            value_row: input.value.row as i32,
            heads: shape.heads as i32,
            kv_heads: shape.kv_heads as i32,
            dim: shape.head_dim as i32,
            prefix: input.prefix.map_or(0, |p| p.tokens) as i32,
            causal: shape.causal.into(),
            span: span as i32,
            longest_query: queries.longest as i32,
            scale: shape.scale as f32,
            rows: queries.rows as i32,
            ..AttentionArguments::default()
        };
        (arguments, bias)
    }

    pub(super) fn attention_forward(
        &self,
        packing: &Packing,
        shape: AttentionShape,
        input: &AttentionInput<'_, Self>,
        context: &mut Buffer,
        log_sum: &mut Buffer,
    ) {
        let (queries, keys) = (self.spans(packing), self.spans(input.keys));
        let (mut arguments, _bias) = self.attention_arguments((&queries, &keys), shape, input);
        arguments.context = self.room(context, queries.rows * shape.width());
        arguments.log_sum = self.single_room(log_sum, queries.rows * shape.heads);
        self.run(arguments.forward(queries.sequence_count));
    }

    pub(super) fn attention_backward(
        &self,
        packing: &Packing,
        shape: AttentionShape,
        input: &AttentionInput<'_, Self>,
        saved: AttentionSaved<'_, Self>,
        d_context: &Buffer,
        gradient: AttentionGradient<'_, Self>,
    ) {
        let (queries, keys) = (self.spans(packing), self.spans(input.keys));
        let (mut arguments, _bias) = self.attention_arguments((&queries, &keys), shape, input);
        let len = queries.rows * shape.width();
        arguments.context = saved.context.halves(len);
        arguments.log_sum = saved.log_sum.singles(queries.rows * shape.heads);
        arguments.d_context = d_context.halves(len);
        let delta = self.working(Kind::Single, queries.rows * shape.heads);
        arguments.delta = delta.address();
        let d_query = self.room(gradient.query, queries.rows * input.query.row);
        let d_keys = match gradient.key_value {
            Some(buffer) => self.room(buffer, keys.rows * input.key.row),
            None => d_query,
        };
        arguments.d_query = d_query.halves(input.query.column);
        arguments.d_key = d_keys.halves(input.key.column);
        arguments.d_value = d_keys.halves(input.value.column);
        let width = input.prefix.map_or(0, |p| p.tokens * shape.kv_width());
        let partial = (width > 0).then(|| self.working(Kind::Single, 2 * queries.sequence_count * width));
        arguments.d_prefix = partial.as_ref().map_or(Address::NULL, Block::address);
        let tiles = AttentionArguments::tiles(queries.longest);
        let rows = queries.sequence_count * shape.heads * tiles;
        let sums = input.bias_table.map(|_| self.working(Kind::Single, rows * arguments.span as usize));
        arguments.d_bias = sums.as_ref().map_or(Address::NULL, Block::address);
        arguments.backward(queries.sequence_count, keys.longest).into_iter().for_each(|launch| self.run(launch));
        if let (Some(partial), Some(prefix)) = (partial, input.prefix) {
            let out = gradient.parameters.singles(queries.client_count * input.trainable.stride);
            let sums = PrefixGradientArguments {
                partial: partial.address(),
                d_key: out.singles(prefix.key),
                d_value: out.singles(prefix.value),
                segments: queries.segments,
                query_offsets: queries.sequences,
                group: input.trainable.stride as i64,
                width: width as i32,
                unused: 0,
            };
            self.run(sums.launch(queries.client_count));
        }
        if let (Some(sums), Some(bias), Some(table)) = (sums, input.bias, input.bias_table) {
            let places = places_of_buckets(&by_distance(bias, &queries, &keys), bias.buckets);
            let places: Vec<i32> = places.into_iter().flat_map(|run| [run.start as i32, run.end as i32]).collect();
            let distances = self.table(&places);
            let arguments = BiasGradientArguments {
                sums: sums.address(),
                distances: distances.address(),
                d_table: gradient.parameters.singles(queries.client_count * input.trainable.stride).singles(table),
                segments: queries.segments,
                query_offsets: queries.sequences,
                group: input.trainable.stride as i64,
                heads: shape.heads as i32,
                tiles: tiles as i32,
                span: arguments.span,
                unused: 0,
            };
            self.run(arguments.launch(bias.buckets, queries.client_count));
        }
    }
}

/// The bucket of every distance of a call.
fn by_distance(bias: &RelativeBias<Cuda>, queries: &Spans, keys: &Spans) -> Vec<usize> {
    buckets_by_distance((bias.buckets, bias.max_distance, bias.bidirectional), (queries.longest, keys.longest))
}
